"""The local client's first packets: what it wants, and the same packet as it goes to the gateway."""

from dataclasses import dataclass
from typing import Final

from ostiary.protocols.postgres.framing import message

CANCEL_REQUEST: Final = 80877102
#: SSLRequest, GSSENCRequest: the local leg has neither.
ENCRYPTION: Final = frozenset({80877103, 80877104})
MAX_STARTUP: Final = 10_000
#: The gateway does not look at it, but for one name that asks for another way of logging in.
_USER: Final = b"ostiary"


@dataclass(frozen=True, slots=True)
class Startup:
    """A StartupMessage in parts (PostgreSQL protocol, message formats).

    Attributes:
        version: major << 16 | minor.
        parameters: name and value, in the order they came.
    """

    version: int
    parameters: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def read(cls, code: int, body: bytes) -> "Startup":
        """Raises ValueError with a clause."""
        if code >> 16 != 3:
            raise ValueError(f"protocol version {code >> 16}.{code & 0xFFFF} is not supported")
        parts = body.split(b"\0")
        # name \0 value \0 … \0
        if len(parts) < 2 or parts[-2:] != [b"", b""] or len(parts) % 2 or b"" in parts[:-2:2]:
            raise ValueError("the startup packet is malformed")
        return cls(code, tuple(zip(parts[:-2:2], parts[1:-2:2], strict=True)))

    def for_gateway(self, target: str) -> bytes:
        """The packet that names the target.

        A client that names no database, or its own user's as libpq does by default, means the target. One that names
        another means that database behind the target: `other` is `orders/other`.
        """
        mine = dict(self.parameters)
        asked, home = mine.get(b"database", b""), target.encode()
        name = home.partition(b"/")[0]
        if asked in (b"", home, mine.get(b"user", b"")):
            database = home
        else:
            database = asked if asked == name or asked.startswith(name + b"/") else name + b"/" + asked
        kept = [pair for pair in self.parameters if pair[0] not in (b"user", b"database")]
        pairs = [(b"user", _USER), (b"database", database), *kept]
        packed = b"".join(key + b"\0" + value + b"\0" for key, value in pairs) + b"\0"
        return message(b"", self.version.to_bytes(4, "big") + packed)
