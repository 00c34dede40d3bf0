"""Bytes to whole messages. A length is checked before anything of the message is kept.

Rows come by the thousand, so a run of DataRow (or CopyData) messages is one item: the frames as they stood in the
stream, and how many they are. Nothing else is ever joined.
"""

from ostiary.wire.contract import ProtocolError

MAX_MESSAGE = 64 << 20
#: What asks a server for TLS (SSLRequest), and what it agrees by.
STARTTLS = (bytes.fromhex("0000000804d2162f"), b"S")
#: Longest messages (length field included) of kinds that carry no data of the client's or target's choosing. Some
#: types mean another message in the other direction.
_SHORT = dict.fromkeys(b"123nIsXc", 4) | {ord("Z"): 5, ord("K"): 264, ord("G"): 8 << 10, ord("H"): 8 << 10}
_SHORT |= dict.fromkeys(b"SCARv", 64 << 10) | {ord("t"): 6 + 4 * 0xFFFF, ord("T"): 4 << 20}
FRONTEND = frozenset(b"QPBDECSHFdcfXp")
BACKEND = frozenset(b"RSKZTDCIENA123nstGHWdcVv")
_COPY_DATA = ord("d")
_DATA_ROW = ord("D")

#: (message type, frame or run of frames with type and length, how many frames)
Frame = tuple[int, bytes, int]


def message(kind: bytes, body: bytes) -> bytes:
    """A framed message; `kind` is empty for those that have none (startup, cancel)."""
    return kind + (len(body) + 4).to_bytes(4, "big") + body


class Framer:
    """One direction of one connection.

    Args:
        types: message types this direction may carry.
        runs: message type whose runs are joined.
        limit: longest message in bytes, its length field included; may be changed between two calls.
    """

    __slots__ = ("_chunks", "_have", "_need", "_runs", "_types", "limit")

    def __init__(self, types: frozenset[int], runs: int = _COPY_DATA, limit: int = MAX_MESSAGE) -> None:
        self._types = types
        self._runs = runs
        self.limit = limit
        self._chunks: list[bytes] = []
        self._have = 0
        self._need = 5

    @classmethod
    def of_target(cls, limit: int = MAX_MESSAGE) -> "Framer":
        """For what a target sends."""
        return cls(BACKEND, _DATA_ROW, limit)

    @classmethod
    def of_client(cls) -> "Framer":
        """For what a client sends after its login."""
        return cls(FRONTEND)

    def feed(self, data: bytes) -> list[Frame]:
        """Whole messages. Raises ProtocolError."""
        if self._chunks:
            self._chunks.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = b"".join(self._chunks)
            self._chunks = []
        frames: list[Frame] = []
        at = 0
        end = len(data)
        self._need = 5
        while end - at >= 5:
            kind = data[at]
            size = (data[at + 1] << 24) | (data[at + 2] << 16) | (data[at + 3] << 8) | data[at + 4]
            self._check(kind, size)
            stop = at + 1 + size
            if stop > end:
                self._need = size + 1
                break
            count = 1
            if kind == self._runs or kind == _COPY_DATA:
                while end - stop >= 5 and data[stop] == kind:
                    size = (data[stop + 1] << 24) | (data[stop + 2] << 16) | (data[stop + 3] << 8) | data[stop + 4]
                    if size < 4 or size > self.limit or stop + 1 + size > end:
                        break
                    stop += 1 + size
                    count += 1
            frames.append((kind, data[at:stop], count))
            at = stop
        if at < end:
            self._chunks = [data[at:]]
            self._have = end - at
        return frames

    def _check(self, kind: int, size: int) -> None:
        if kind not in self._types:
            raise ProtocolError(f"a message of type {bytes([kind])!r} has no place here")
        if size < 4 or size > self.limit or size > _SHORT.get(kind, self.limit):
            raise ProtocolError(f"a message of type {chr(kind)!r} says it is {size} bytes long; refused unread")

    @property
    def pending(self) -> int:
        """Bytes kept of a message that has not ended."""
        return self._have if self._chunks else 0
