"""The room on a terminal: lines that scroll, and below them a status and a prompt."""

from __future__ import annotations

import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from headgate.client import Outgoing, OutgoingStatus, Push, State, Status
from headgate.protocol.pushes import (
    Author,
    Deleted,
    Edited,
    Message,
    Reset,
    TypingSignal,
)
from headgate.server.tail_growing import GrowingLine, GrowingLines
from headgate.server.tail_text import (
    Line,
    harmless,
    in_short,
    line_of,
    notice_of,
    state_in_words,
    wait_in_words,
)

__all__ = ["Screen"]

# Of the 16 colours that a terminal's own theme makes readable.
_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "red")
_NEW_LINE_KEPT = "\n"
_REMEMBERED = 500  # texts, to show what an edit was made of
_TYPING_SECONDS = 6.0
_GROWING_SHOWN = 3  # of the messages that grow at the same time
_LONGEST_NAME = 24
_ALIGNED_NAME = 12  # texts begin below each other where names are no longer


class Screen:
    """Shows the room.

    Args:
        room: Its name.
        outbox: Returns what is not acknowledged.
        typed: Returns the line that is being typed; None where nobody types here.
    """

    def __init__(
        self,
        room: str,
        outbox: Callable[[], list[Outgoing]],
        typed: Callable[[], str] | None,
    ) -> None:
        self._room = room
        self._outbox = outbox
        self._typed = typed
        self._state = State(Status.CONNECTING)
        self._user: Author | None = None
        self._day: date | None = None
        self._texts: OrderedDict[int, str] = OrderedDict()
        self._typing: dict[str, tuple[str, float]] = {}  # name, and until when
        self._growing = GrowingLines()
        self._name_width = 0
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._bottom = ""
        self._live = Live(
            console=self._console,
            get_renderable=self._below,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    # --- what happens ---

    def show(self, push: Push) -> None:
        """Print a push; raises `BrokenPipeError` when nobody reads any more."""
        if isinstance(push, TypingSignal):
            self._note_typing(push)
        elif isinstance(push, Reset):
            self._texts.clear()
        line = line_of(push) if self._growing.take(push) else None
        if line is not None:
            if isinstance(push, Message):
                self._typing.pop(push.author.id, None)
            self._mark_day(_local(line.at))
            self._print(self._row(line, push))
        elif (notice := notice_of(push)) is not None:
            self.note(notice)
        self.refresh()

    def note(self, text: str) -> None:
        """Say something that is no part of the room."""
        self._print(Text(f"— {harmless(text)}", style="dim italic"))

    def state(self, state: State, user: Author | None) -> None:
        """Show what becomes of the connection; whoever ends says why."""
        if state.status is Status.CLOSED:
            return
        self._state = state
        self._user = user or self._user
        self.refresh()

    def refresh(self) -> None:
        """Draw status and prompt anew where they are others."""
        self._live.refresh()

    def tick(self) -> None:
        """Let times go on; draws only what is another."""
        if self._status().plain != self._bottom:
            self.refresh()

    def close(self) -> None:
        """Take status and prompt away; what was said stays."""
        self._live.stop()

    # --- lines ---

    def _row(self, line: Line, push: Push) -> Table:
        at = _local(line.at)
        clock = at.strftime("%H:%M:%S") if at is not None else harmless(line.at)
        name = harmless(line.author.name)
        width = min(cell_len(name), _ALIGNED_NAME)
        self._name_width = max(self._name_width, width)
        row = Table.grid(padding=(0, 2))
        row.add_column(no_wrap=True)
        row.add_column(
            no_wrap=True,
            min_width=self._name_width,
            max_width=_LONGEST_NAME,
            overflow="ellipsis",
        )
        row.add_column(ratio=1, overflow="fold")
        row.add_row(
            Text(clock, style="dim"),
            Text(name, style=_colour(line.author.id)),
            self._said(line, push),
        )
        return row

    def _said(self, line: Line, push: Push) -> Text:
        if isinstance(push, Message) and not push.deleted:
            self._remember(push.seq, push.text)
            how = "" if push.state is None else f"{push.state}: "
            return Text.assemble((how, "dim italic"), _on_lines(push.text))
        said = Text(style="dim")
        if isinstance(push, Edited):
            before = self._texts.get(push.target)
            self._remember(push.target, push.text)
            if push.state is None:
                said.append(f"edited {_which(push.target, before)}: ", style="italic")
            elif push.state != "done":
                said.append(f"{push.state}: ", style="italic")
            said.append(_on_lines(push.text), style="not dim")
        elif isinstance(push, Deleted):
            before = self._texts.pop(push.target, None)
            said.append(f"deleted {_which(push.target, before)}", style="italic")
        else:
            said.append(harmless(line.what), style="italic")
        return said

    def _remember(self, seq: int, text: str) -> None:
        self._texts[seq] = text
        while len(self._texts) > _REMEMBERED:
            self._texts.popitem(last=False)

    def _mark_day(self, at: datetime | None) -> None:
        if at is not None and at.date() != self._day:
            self._day = at.date()
            self._print(Rule(self._day.strftime("%A, %d %B %Y"), style="dim"))

    def _note_typing(self, push: TypingSignal) -> None:
        if push.typing:
            until = time.monotonic() + _TYPING_SECONDS
            self._typing[push.author.id] = push.author.name, until
        else:
            self._typing.pop(push.author.id, None)

    def _print(self, what: Table | Text | Rule) -> None:
        self._console.print(what)

    # --- below ---

    def _below(self) -> Group:
        status = self._status()
        self._bottom = status.plain
        width = self._console.width
        status.truncate(width, overflow="ellipsis")
        growing = self._growing.newest(_GROWING_SHOWN)
        lines = [*(_grows(line, width) for line in growing), status]
        if self._typed is None:
            return Group(*lines)
        line = _end_of(harmless(self._typed()), width - 4)
        prompt = Text.assemble(("> ", "bold"), line, ("▏", "blink"))
        return Group(*lines, Padding(prompt, 0))

    def _status(self) -> Text:
        now = time.monotonic()
        said = [self._room]
        if self._state.status is Status.ONLINE and self._user is not None:
            said.append(f"online as {harmless(self._user.name)}")
        else:
            said.append(state_in_words(self._state, now))
        said += self._unsent(now)
        said += self._who_types(now)
        if self._state.status is Status.WAITING:
            said.append(harmless(self._state.reason or ""))  # long, so cut off first
        style = "green" if self._state.status is Status.ONLINE else "yellow"
        return Text(" · ".join(said), style=f"dim {style}", no_wrap=True)

    def _unsent(self, now: float) -> list[str]:
        """Return what there is to say of messages that are not acknowledged."""
        outbox = self._outbox()
        said = [
            f"“{in_short(each.text or '')}” "
            + wait_in_words(each.not_before - now, each.policy)
            for each in outbox
            if each.not_before is not None
        ]
        for status in (OutgoingStatus.SENDING, OutgoingStatus.QUEUED):
            count = sum(each.status is status for each in outbox)
            if count:
                said.append(f"{count} {status.value}")
        return said

    def _who_types(self, now: float) -> list[str]:
        self._typing = {
            who: each for who, each in self._typing.items() if each[1] > now
        }
        names = [in_short(name) for name, _ in self._typing.values()]
        if not names:
            return []
        return [f"{names[0]} is writing" if len(names) == 1 else "several are writing"]


def _colour(author_id: str) -> str:
    return _COLOURS[zlib.crc32(author_id.encode()) % len(_COLOURS)]


def _which(target: int, before: str | None) -> str:
    return str(target) if before is None else f"“{in_short(before)}”"


def _on_lines(text: str) -> str:
    """Return a harmless text that keeps its lines."""
    return harmless(text.expandtabs(4), keep=_NEW_LINE_KEPT)


def _local(at: str) -> datetime | None:
    """Return a time of the wire on this machine's clock; None if it is none."""
    try:
        return datetime.fromisoformat(at).astimezone()
    except (ValueError, OverflowError):
        return None


def _grows(line: GrowingLine, width: int) -> Text:
    """Return a line with the end of what there is of a message."""
    name = Text(harmless(line.author.name), style=_colour(line.author.id))
    name.truncate(min(_LONGEST_NAME, width // 2), overflow="ellipsis")
    # Before it is made harmless: each time it has grown, it is drawn anew.
    end = harmless(" ".join(line.text[-width:].split()))
    said = _end_of(end, width - name.cell_len - 4)
    is_cut = len(said) < len(end) or len(line.text) > width
    return Text.assemble(name, "  ", "…" if is_cut else "", said, ("▏", "blink"))


def _end_of(text: str, width: int) -> str:
    """Return as much of the end of a line as fits."""
    text = text[-max(width, 1) :]
    while text and cell_len(text) > width:
        text = text[1:]
    return text
