"""The words of the page's script, in English and in the language of a request.

The English ones stand in the script too, so a page is told only those that are others.
The keys are those of `client/src/element/strings.ts`, and `error_` with each error code
of the wire. `{n}` and its like are put in by the script. All have the context `chat`:
so neither another app's translations change ours, nor ours theirs.
"""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import get_language, override, pgettext_lazy

__all__ = ["ERRORS", "STRINGS", "spoken_language", "translations"]

STRINGS: dict[str, Promise] = {
    "messages": pgettext_lazy("chat", "Messages in {room}"),
    "loading": pgettext_lazy("chat", "Loading…"),
    "empty": pgettext_lazy("chat", "No messages yet. Say hello!"),
    "older": pgettext_lazy("chat", "Show older messages"),
    "new": pgettext_lazy("chat", "New"),
    "new_messages_one": pgettext_lazy("chat", "{n} new message"),
    "new_messages_other": pgettext_lazy("chat", "{n} new messages"),
    "newest": pgettext_lazy("chat", "Jump to the newest"),
    "left_out_one": pgettext_lazy("chat", "{n} message left out"),
    "left_out_other": pgettext_lazy("chat", "{n} messages left out"),
    "show": pgettext_lazy("chat", "Show"),
    "says": pgettext_lazy("chat", "{name}: {text}"),
    "failed_to_send": pgettext_lazy("chat", "Not sent: {text}"),
    "you": pgettext_lazy("chat", "you"),
    "guest": pgettext_lazy("chat", "guest"),
    "bot": pgettext_lazy("chat", "bot"),
    "edited": pgettext_lazy("chat", "edited"),
    "stop": pgettext_lazy("chat", "Stop"),
    "cut": pgettext_lazy("chat", "The answer was cut off."),
    "cancelled": pgettext_lazy("chat", "Stopped."),
    "deleted": pgettext_lazy("chat", "This message was deleted."),
    "earlier": pgettext_lazy("chat", "an earlier message"),
    "queued": pgettext_lazy("chat", "queued"),
    "waits": pgettext_lazy("chat", "waits {time}"),
    "sending": pgettext_lazy("chat", "sending…"),
    "not_sent": pgettext_lazy("chat", "not sent"),
    "actions": pgettext_lazy("chat", "What to do with the message"),
    "reply": pgettext_lazy("chat", "Reply"),
    "edit": pgettext_lazy("chat", "Edit"),
    "delete": pgettext_lazy("chat", "Delete"),
    "retry": pgettext_lazy("chat", "Retry"),
    "discard": pgettext_lazy("chat", "Discard"),
    "cancel": pgettext_lazy("chat", "Cancel"),
    "moderate": pgettext_lazy("chat", "Moderate"),
    "mute": pgettext_lazy("chat", "Mute for {time}"),
    "unmute": pgettext_lazy("chat", "Unmute"),
    "ban": pgettext_lazy("chat", "Ban"),
    "unban": pgettext_lazy("chat", "Unban"),
    "delete_sure": pgettext_lazy("chat", "Delete this message for everybody?"),
    "moderate_what": pgettext_lazy("chat", "What to do about {name}?"),
    "mute_sure": pgettext_lazy("chat", "Mute {name} in this room for {time}?"),
    "ban_sure": pgettext_lazy("chat", "Ban {name} from this room?"),
    "done": pgettext_lazy("chat", "Done."),
    "message_to": pgettext_lazy("chat", "Message to {room}"),
    "send": pgettext_lazy("chat", "Send"),
    "save": pgettext_lazy("chat", "Save"),
    "keys": pgettext_lazy("chat", "Enter sends, Shift + Enter begins a new line"),
    "replying": pgettext_lazy("chat", "Reply to {name}"),
    "editing": pgettext_lazy("chat", "Editing your message"),
    "left_one": pgettext_lazy("chat", "{n} left"),
    "left_other": pgettext_lazy("chat", "{n} left"),
    "too_long_one": pgettext_lazy("chat", "Too long by {n} byte."),
    "too_long_other": pgettext_lazy("chat", "Too long by {n} bytes."),
    "wait": pgettext_lazy("chat", "You can send again in {time}."),
    "wait_over": pgettext_lazy("chat", "You can send again."),
    "slow_mode": pgettext_lazy("chat", "Slow mode"),
    "slow_mode_on": pgettext_lazy("chat", "Slow mode: one message in {time}"),
    "off": pgettext_lazy("chat", "Off"),
    "read_only": pgettext_lazy("chat", "You can read here, but not write."),
    "typing_one": pgettext_lazy("chat", "{a} is writing…"),
    "typing_two": pgettext_lazy("chat", "{a} and {b} are writing…"),
    "typing_many": pgettext_lazy("chat", "Several people are writing…"),
    "here_one": pgettext_lazy("chat", "{n} here"),
    "here_other": pgettext_lazy("chat", "{n} here"),
    "connecting": pgettext_lazy("chat", "Connecting…"),
    "reconnecting": pgettext_lazy("chat", "Reconnecting in {time}"),
    "retry_now": pgettext_lazy("chat", "Retry now"),
    "offline": pgettext_lazy("chat", "You are offline."),
    "offline_unsent_one": pgettext_lazy(
        "chat", "You are offline. {n} message will be sent when you are back."
    ),
    "offline_unsent_other": pgettext_lazy(
        "chat", "You are offline. {n} messages will be sent when you are back."
    ),
    "your_name": pgettext_lazy("chat", "Your name"),
    "name_hint": pgettext_lazy("chat", "How others see you"),
    "join": pgettext_lazy("chat", "Join"),
    "you_are": pgettext_lazy("chat", "You are {name}"),
    "change": pgettext_lazy("chat", "Change"),
    "sign_in": pgettext_lazy("chat", "Sign in"),
    "unread_one": pgettext_lazy("chat", "{n} unread"),
    "unread_other": pgettext_lazy("chat", "{n} unread"),
}

# By the codes of the wire; the texts are those of `protocol/codes.toml`.
ERRORS: dict[str, Promise] = {
    "bad_command": pgettext_lazy("chat", "The command is not well formed."),
    "unknown_command": pgettext_lazy("chat", "There is no such command."),
    "unsupported": pgettext_lazy(
        "chat", "This server does not know how to do that yet."
    ),
    "too_large": pgettext_lazy("chat", "The command is larger than the server takes."),
    "binary": pgettext_lazy("chat", "Commands are JSON in text frames."),
    "hello_expected": pgettext_lazy("chat", "The first command must be hello."),
    "unauthenticated": pgettext_lazy("chat", "Sign in first."),
    "forbidden": pgettext_lazy("chat", "You may not do that here."),
    "muted": pgettext_lazy("chat", "You are muted in this room."),
    "banned": pgettext_lazy("chat", "You are banned from this room."),
    "ticket_refused": pgettext_lazy("chat", "This ticket is not good any more."),
    "csrf_failed": pgettext_lazy(
        "chat", "The CSRF token that goes with your cookie is missing or wrong."
    ),
    "not_found": pgettext_lazy(
        "chat", "There is no such room or message, or it is not for you."
    ),
    "not_joined": pgettext_lazy("chat", "Join the room first."),
    "id_conflict": pgettext_lazy(
        "chat", "This client_id was used for another message."
    ),
    "too_many_rooms": pgettext_lazy(
        "chat", "This connection has joined as many rooms as it may."
    ),
    "bad_offset": pgettext_lazy("chat", "The growing message ends before that offset."),
    "growing": pgettext_lazy("chat", "This message is still growing."),
    "not_growing": pgettext_lazy("chat", "This message does not grow, or no longer."),
    "rate_limited": pgettext_lazy("chat", "Too fast."),
    "overloaded": pgettext_lazy(
        "chat", "The server has more to write than it can take."
    ),
    "unavailable": pgettext_lazy("chat", "The message could not be saved just now."),
    "internal": pgettext_lazy("chat", "Something went wrong on the server."),
}

_WORDS = STRINGS | {f"error_{code}": text for code, text in ERRORS.items()}


def spoken_language() -> str:
    """Return the language of the chat's words, such as `de` or `pt-br`.

    It is the active one where there is a translation. Otherwise Django falls back on
    LANGUAGE_CODE, and where that has none either, the words are English.
    """
    active = get_language() or "en"
    if _is_english(active):
        return active
    said = translations()
    if not said:
        return "en"
    with override(settings.LANGUAGE_CODE):
        return settings.LANGUAGE_CODE if said == translations() else active


def translations() -> dict[str, str]:
    """Return the words that are others than in English."""
    english = _english()
    said = {key: str(text) for key, text in _WORDS.items()}
    return {key: text for key, text in said.items() if text != english[key]}


@lru_cache(maxsize=1)
def _english() -> dict[str, str]:
    """Return the words as they stand above, whatever the project makes of English."""
    with override(None):
        return {key: str(text) for key, text in _WORDS.items()}


def _is_english(language: str) -> bool:
    return language.partition("-")[0] == "en"
