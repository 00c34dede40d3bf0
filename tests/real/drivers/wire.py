"""A client that is nothing but bytes: what no driver sends, and what each message looks like."""

import socket
import struct
from collections.abc import Iterable, Sequence

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSSENC_REQUEST = struct.pack("!ii", 8, 80877104)
SYNC = b"S\0\0\0\x04"
FLUSH = b"H\0\0\0\x04"
TERMINATE = b"X\0\0\0\x04"
COPY_DONE = b"c\0\0\0\x04"


def message(kind: bytes, body: bytes) -> bytes:
    """Any message but the first."""
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def startup(user: str, database: str, minor: int = 0, **more: str) -> bytes:
    """StartupMessage."""
    pairs = {"user": user, "database": database} | more
    body = b"".join(f"{k}\0{v}\0".encode() for k, v in pairs.items()) + b"\0"
    return struct.pack("!ihh", len(body) + 8, 3, minor) + body


def password(token: str) -> bytes:
    """PasswordMessage."""
    return message(b"p", token.encode() + b"\0")


def query(sql: str) -> bytes:
    """Query."""
    return message(b"Q", sql.encode() + b"\0")


def parse(sql: str, name: str = "", types: Sequence[int] = ()) -> bytes:
    """Parse."""
    return message(b"P", f"{name}\0{sql}\0".encode() + struct.pack(f"!h{len(types)}I", len(types), *types))


def bind(
    portal: str = "",
    name: str = "",
    values: Sequence[bytes | None] = (),
    formats: Sequence[int] = (),
    results: Sequence[int] = (),
) -> bytes:
    """Bind."""
    body = f"{portal}\0{name}\0".encode() + struct.pack(f"!h{len(formats)}h", len(formats), *formats)
    body += struct.pack("!h", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message(b"B", body + struct.pack(f"!h{len(results)}h", len(results), *results))


def describe(kind: str, name: str = "") -> bytes:
    """Describe; kind "S" or "P"."""
    return message(b"D", f"{kind}{name}\0".encode())


def execute(portal: str = "", limit: int = 0) -> bytes:
    """Execute."""
    return message(b"E", f"{portal}\0".encode() + struct.pack("!i", limit))


def close(kind: str, name: str = "") -> bytes:
    """Close; kind "S" or "P"."""
    return message(b"C", f"{kind}{name}\0".encode())


def copy_data(data: bytes) -> bytes:
    """CopyData."""
    return message(b"d", data)


def copy_fail(why: str) -> bytes:
    """CopyFail."""
    return message(b"f", why.encode() + b"\0")


def function_call(oid: int, arguments: Sequence[bytes | None], *, binary: bool = True) -> bytes:
    """FunctionCall."""
    code = int(binary)
    body = struct.pack("!Ihhh", oid, 1, code, len(arguments))
    for value in arguments:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message(b"F", body + struct.pack("!h", code))


def all_of(name: str, sql: str, values: Sequence[bytes | None] = ()) -> bytes:
    """Parse, Bind, Describe, Execute without a Sync."""
    return parse(sql, name) + bind("", name, values) + describe("P") + execute()


class WireClient:
    """A blocking connection. Raises TimeoutError when an answer does not come, EOFError when the peer closed."""

    def __init__(self, host: str, port: int, seconds: float = 10.0) -> None:
        self.socket = socket.create_connection((host, port), seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._at = 0
        self.key = b""

    def __enter__(self) -> "WireClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Write."""
        self.socket.sendall(data)

    def exactly(self, size: int) -> bytes:
        """Read so many bytes."""
        if len(self._buffer) - self._at < size:
            self._buffer, self._at = self._buffer[self._at :], 0
            while len(self._buffer) < size:
                data = self.socket.recv(262144)
                if not data:
                    raise EOFError
                self._buffer += data
        start = self._at
        self._at += size
        return self._buffer[start : self._at]

    def receive(self) -> bytes:
        """One whole message."""
        head = self.exactly(5)
        return head + self.exactly(int.from_bytes(head[1:5], "big") - 4)

    def until(self, kinds: bytes) -> list[bytes]:
        """Messages up to one of these types, that one included."""
        found = [self.receive()]
        while found[-1][:1] not in (kinds[i : i + 1] for i in range(len(kinds))):
            found.append(self.receive())
        return found

    def rest(self) -> list[bytes]:
        """Whole messages until the peer closes."""
        found = []
        try:
            while True:
                found.append(self.receive())
        except (EOFError, ConnectionError):
            return found

    def login(self, user: str, token: str, database: str, minor: int = 0, **more: str) -> list[bytes]:
        """To the first ReadyForQuery; trust or cleartext. Returns what the server said of itself."""
        self.send(startup(user, database, minor, **more))
        found = self.until(b"R")
        if found[-1][5:9] == b"\0\0\0\x03":
            self.send(password(token))
            found = self.until(b"RE")
        if found[-1][:1] == b"E":
            raise PermissionError(found[-1].decode(errors="replace"))
        found = self.until(b"Z")
        self.key = next((m[5:] for m in found if m[:1] == b"K"), b"")
        return found


def sqlstate(error: bytes) -> str:
    """Of an ErrorResponse or NoticeResponse."""
    fields = error[5:].split(b"\0")
    return next(f[1:].decode() for f in fields if f[:1] == b"C")


def normal(messages: Iterable[bytes]) -> list[str]:
    """Comparable: errors by SQLSTATE (drivers compare the rest), notifications without the process id."""
    return [
        f"{m[:1].decode()} {sqlstate(m)}"
        if m[:1] in (b"E", b"N")
        else f"{m[:1].decode()} {len(m)} {(m[9:] if m[:1] == b'A' else m[5:])[:200]!r}"
        for m in messages
    ]
