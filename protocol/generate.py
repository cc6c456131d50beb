"""Write what is derived from the protocol's one truth.

`codes.toml` becomes `src/headgate/protocol/codes.py`, `client/src/codes.ts` and
`docs/reference/codes.md`; the Python structs become `protocol/schema.json`.
With `--check` nothing is written and the exit code says whether all is current.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FIRST_FINAL_CLOSE = 4500
DO_NOT_EDIT = "Generated from protocol/codes.toml by protocol/generate.py."

Table = dict[str, dict[str, Any]]


def python(errors: Table, closes: Table) -> str:
    """Return the Python module with both tables."""
    lines = [
        '"""Error codes and close codes of the wire.',
        "",
        DO_NOT_EDIT,
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from dataclasses import dataclass",
        "from enum import IntEnum, StrEnum",
        "",
        '__all__ = ["CLOSE_TEXTS", "ERRORS", "Close", "Code", "ErrorInfo"]',
        "",
        "",
        "class Code(StrEnum):",
        '    """The `code` of an error."""',
        "",
        *(f'    {name.upper()} = "{name}"' for name in errors),
        "",
        "",
        "class Close(IntEnum):",
        '    """A close code: below 4500 come back, from 4500 on do not."""',
        "",
        *(f"    {name.upper()} = {row['number']}" for name, row in closes.items()),
        "",
        "",
        "@dataclass(frozen=True, slots=True)",
        "class ErrorInfo:",
        '    """What is fixed about an error code."""',
        "",
        "    number: int",
        "    http: int",
        "    retry: bool",
        "    text: str",
        "",
        "",
        "ERRORS: dict[Code, ErrorInfo] = {",
    ]
    for name, row in errors.items():
        lines += [
            f"    Code.{name.upper()}: ErrorInfo(",
            f"        number={row['number']},",
            f"        http={row['http']},",
            f"        retry={row['retry']},",
            f"        text={json.dumps(row['text'])},",
            "    ),",
        ]
    lines += ["}", "", "CLOSE_TEXTS: dict[Close, str] = {"]
    lines += [
        f"    Close.{name.upper()}: {json.dumps(row['text'])},"
        for name, row in closes.items()
    ]
    return "\n".join([*lines, "}", ""])


def typescript(errors: Table, closes: Table) -> str:
    """Return the TypeScript module with both tables."""
    lines = [f"// {DO_NOT_EDIT}", "", "export const ERRORS = {"]
    for name, row in errors.items():
        retry = str(row["retry"]).lower()
        lines += [
            f"  {name}: {{",
            f"    number: {row['number']},",
            f"    http: {row['http']},",
            f"    retry: {retry},",
            f"    text: {json.dumps(row['text'])},",
            "  },",
        ]
    lines += [
        "} as const;",
        "",
        "export type ErrorCode = keyof typeof ERRORS;",
        "",
        "export const CLOSES = {",
    ]
    lines += [
        f"  {name}: {{ number: {row['number']}, text: {json.dumps(row['text'])} }},"
        for name, row in closes.items()
    ]
    lines += [
        "} as const;",
        "",
        "export type CloseName = keyof typeof CLOSES;",
        "",
        '/** From 4500 on a close code says "don\'t come back". */',
        f"export const FIRST_FINAL_CLOSE = {FIRST_FINAL_CLOSE};",
    ]
    return "\n".join([*lines, ""])


def markdown(errors: Table, closes: Table) -> str:
    """Return the reference page with both tables."""
    lines = [
        "# Error codes and close codes",
        "",
        f"<!-- {DO_NOT_EDIT} -->",
        "",
        "An error says what happened in `code` for programs, in `text` for people.",
        '"Retry" means that the same command may succeed later, unchanged;',
        "`retry_after_ms` then says when.",
        "",
        "| number | code | HTTP | retry | text | what to do |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in errors.items():
        retry = "yes" if row["retry"] else "no"
        lines.append(
            f"| {row['number']} | `{name}` | {row['http']} | {retry} "
            f"| {row['text']} | {row['help']} |",
        )
    lines += [
        "",
        "## Close codes",
        "",
        "4000 to 4499 mean *come back*, 4500 to 4999 mean *don't*.",
        'Before a close by policy comes `{"reply": null, "error": …}` with the reason.',
        "Beside these: 1009 for a message over 64 KiB, 1012 when the server restarts.",
        "",
        "| code | name | come back | text |",
        "|---|---|---|---|",
    ]
    for name, row in closes.items():
        back = "yes" if row["number"] < FIRST_FINAL_CLOSE else "no"
        lines.append(f"| {row['number']} | `{name}` | {back} | {row['text']} |")
    return "\n".join([*lines, ""])


def schema() -> str:
    """Return the JSON Schema of every command, reply and push."""
    from headgate.protocol.schema import schema as build

    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


def generated() -> dict[Path, str]:
    """Return each generated file's path and text."""
    codes = tomllib.loads((ROOT / "protocol/codes.toml").read_text(encoding="utf-8"))
    tables = codes["errors"], codes["closes"]
    return {
        ROOT / "src/headgate/protocol/codes.py": python(*tables),
        ROOT / "client/src/codes.ts": typescript(*tables),
        ROOT / "docs/reference/codes.md": markdown(*tables),
    }


def main() -> int:
    """Write or check, and return the exit code."""
    check = "--check" in sys.argv[1:]
    stale = 0
    files = generated()
    if not check:  # the schema imports what is written here
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    files[ROOT / "protocol/schema.json"] = schema()
    for path, text in files.items():
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            print(f"stale: {path.relative_to(ROOT)}; run python protocol/generate.py")
            stale = 1
        elif not check:
            path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
