"""A model server on which messages grow."""

from __future__ import annotations

from typing import Any

from headgate.protocol import commands, pushes
from headgate.protocol.codes import Code
from tests.client.model_server import ModelServer, Peer, refusal

__all__ = ["GrowingServer"]

AT = "2026-01-01T00:00:01Z"


class GrowingServer(ModelServer):
    """Keeps texts by room and seq; what it `forgets` is what was not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.texts_of: dict[tuple[str, int], str] = {}
        self.most_bytes = 16_384

    def appends(self) -> list[commands.Append]:
        return [each for each in self.seen if isinstance(each, commands.Append)]

    def grow(self, room: str, seq: int, at: int, text: str) -> None:
        """Tell everybody what a text is from an offset on."""
        self.push_all(pushes.Partial(room=room, seq=seq, at=at, text=text))

    def end(self, key: tuple[str, int], state: Any, reply: int | None = None) -> int:
        """End a message, by whomever."""
        text, log = self.texts_of.pop(key), self.log[key[0]]
        message = log[key[1] - 1]
        message.open, message.text = False, text
        event = pushes.Edited(
            room=key[0],
            seq=len(log) + 1,
            target=key[1],
            author=message.author,
            text=text,
            at=AT,
            state=state,
        )
        return self._save(event)

    def begin(self, room: str, text: str = "") -> int:
        """Have somebody else's message begin to grow."""
        seq = len(self.log[room]) + 1
        author = pushes.Author(id="b:x", kind="bot", name="X")
        message = pushes.Message(
            room=room, seq=seq, author=author, text=text, at=AT, open=True
        )
        self.texts_of[room, seq] = text
        return self._save(message)

    def _carry_out(self, peer: Peer, command: commands.Command) -> None:
        match command:
            case commands.Append():
                failed = self._append(peer, command)
            case commands.Cancel(room=room, seq=seq):
                failed = self._cancel(peer, command, (room, seq))
            case commands.Send(open=True):
                super()._carry_out(peer, command)
                message = self.log[command.room][-1]
                if message.client_id == command.client_id:
                    message.open = True
                    key = command.room, message.seq
                    self.texts_of.setdefault(key, command.text)
                return
            case _:
                super()._carry_out(peer, command)
                return
        if failed is not None:
            peer.put(pushes.Failure(reply=command.id, error=failed))

    def _append(self, peer: Peer, command: commands.Append) -> pushes.Error | None:
        key = command.room, command.seq
        have = self.texts_of.get(key)
        if have is None:
            return refusal(Code.NOT_GROWING)
        if command.at > len(have):
            return refusal(Code.BAD_OFFSET, at=len(have))
        overlap = have[command.at :]
        assert command.text.startswith(overlap) or overlap.startswith(command.text)
        self.texts_of[key] = have + command.text[len(overlap) :]
        if command.state is None:
            peer.put(pushes.Done(reply=command.id or 0))
        else:
            seq = self.end(key, command.state)
            peer.put(pushes.Saved(reply=command.id or 0, seq=seq, at=AT))
        return None

    def _cancel(
        self, peer: Peer, command: commands.Cancel, key: tuple[str, int]
    ) -> pushes.Error | None:
        if key not in self.texts_of:
            return refusal(Code.NOT_GROWING)
        seq = self.end(key, "cancelled")
        peer.put(pushes.Saved(reply=command.id or 0, seq=seq, at=AT))
        return None
