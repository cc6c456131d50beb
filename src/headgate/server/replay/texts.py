"""Text of an exact length in bytes, in many scripts, the same for the same row.

A chat log without its texts still has their lengths. What is made here stands in for
them: real letters of many scripts and emoji, so that every layer between two people
meets multi-byte characters, joiners and right-to-left words. Nothing in it needs
escaping in JSON, HTML or Markdown, and it neither begins nor ends with a space, so
that an honest chat returns it as it was.
"""

from __future__ import annotations

from random import Random

__all__ = ["make_text"]

_SCRIPTS: tuple[str, ...] = (
    "hello yes what a game that was so close gg wow no way nice one did you see it",
    "où déjà garçon naïve cœur Straße grün schön mañana ação łódź žluťoučký kůň",
    "chào bạn hôm nay trời đẹp quá phải không cảm ơn rất nhiều",
    "γειά σου πώς είσαι σήμερα όλα καλά ευχαριστώ πολύ",  # noqa: RUF001
    "привет как дела это было здорово ещё раз спасибо всем друзья",
    "שלום מה שלומך היום תודה רבה חברים זה היה נהדר",
    "مرحبا كيف حالك اليوم شكرا جزيلا كان ذلك رائعا",
    "नमस्ते आप कैसे हैं बहुत अच्छा खेल था धन्यवाद",
    "สวัสดี วันนี้ เป็น อย่างไร ขอบคุณ มาก สนุก จริงๆ",
    "大家好 今天 真的 太 厉害 了 谢谢 各位 加油 哈哈哈",
    "こんにちは すごい 本当に ありがとう みなさん 頑張って ヤバい 草",
    "안녕 정말 대박 오늘 게임 고마워 여러분 ㅋㅋㅋㅋ 최고",
)
# One code point, a variation selector, a skin tone, a flag, a keycap, a family.
_EMOJI = "😂 🔥 ❤️ 👍🏽 🎉 🇳🇱 🇯🇵 7️⃣ 👩‍👩‍👧‍👦 🏳️‍🌈 🧑🏿‍🚀 😭 💯 👀"
_ONE_IN = 6  # words that are emoji
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _sized(words: str) -> tuple[tuple[str, int], ...]:
    """Return words with their lengths in bytes."""
    return tuple((word, len(word.encode())) for word in words.split())


_WORDS = tuple(_sized(script) for script in _SCRIPTS)
_EMOJI_WORDS = _sized(_EMOJI)


def make_text(row: int, size_bytes: int) -> str:
    """Return the text of a row, exactly `size_bytes` long in UTF-8; never blank."""
    if size_bytes < 1:
        raise ValueError("A text has at least one byte.")
    chance = Random(row)  # noqa: S311 - the same text again, not a secret
    script = _WORDS[chance.randrange(len(_WORDS))]
    parts: list[str] = []
    left = size_bytes
    while left > 0:
        words = _EMOJI_WORDS if chance.randrange(_ONE_IN) == 0 else script
        word, size = words[chance.randrange(len(words))]
        if size > left:
            break
        parts.append(word)
        left -= size
        if left > 1:  # something follows, so the text never ends with a space
            parts.append(" ")
            left -= 1
    parts.extend(chance.choices(_LETTERS, k=left))
    return "".join(parts)
