"""Bytes to whole messages. A length is checked before anything of the message is kept."""

from ostiary.wire.contract import ProtocolError

MAX_MESSAGE = 64 << 20
#: Longest body of messages that carry no data of the client's or target's choosing.
_SHORT = {ord("S"): 64 << 10, ord("H"): 8 << 10, ord("X"): 4, ord("c"): 4, ord("Z"): 5}
FRONTEND = frozenset(b"QPBDECSHFdcfXp")
BACKEND = frozenset(b"RSKZTDCIENA123nstGHWdcVv")


class Framer:
    """One direction of one connection.

    Args:
        types: message types this direction may carry.
        limit: longest message in bytes, its length field included.
    """

    __slots__ = ("_kept", "_limit", "_types")

    def __init__(self, types: frozenset[int], limit: int = MAX_MESSAGE) -> None:
        self._types = types
        self._limit = limit
        self._kept = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Whole messages as (type, frame with type and length). Raises ProtocolError."""
        if self._kept:
            data = self._kept + data
        frames = []
        at, end = 0, len(data)
        types, limit = self._types, self._limit
        while end - at >= 5:
            kind = data[at]
            size = int.from_bytes(data[at + 1 : at + 5], "big")
            if kind not in types:
                raise ProtocolError(f"a message of type {bytes([kind])!r} has no place here")
            if size < 4 or size > limit or size > _SHORT.get(kind, limit):
                raise ProtocolError(f"a message of type {chr(kind)!r} says it is {size} bytes long; refused unread")
            stop = at + 1 + size
            if stop > end:
                break
            frames.append((kind, data[at:stop]))
            at = stop
        self._kept = data[at:]
        return frames

    def take_one(self, data: bytes) -> bytes | None:
        """For the answer to SSLRequest, which is one byte without a frame."""
        self._kept += data
        if not self._kept:
            return None
        first, self._kept = self._kept[:1], self._kept[1:]
        return first

    @property
    def pending(self) -> int:
        """Bytes kept of a message that has not ended."""
        return len(self._kept)
