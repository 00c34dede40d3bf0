"""A target that breaks the protocol: blocking sockets, a thread a connection, one attack at a time."""

import base64
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ostiary.protocols.postgres.catalog import CATALOG_QUERY
from tests.real.drivers.wire import message

GREETING = (
    message(b"R", b"\0\0\0\0")
    + message(b"S", b"server_version\x0015.0\0")
    + message(b"S", b"client_encoding\0UTF8\0")
    + message(b"S", b"standard_conforming_strings\0on\0")
    + message(b"K", b"\0\0\0\7\0\0\0\x08")
)
READY = message(b"Z", b"I")
_TEXT_COLUMN = struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)


def row_description(*names: str) -> bytes:
    """RowDescription of text columns from nowhere."""
    body = b"".join(name.encode() + b"\0" + _TEXT_COLUMN for name in names)
    return message(b"T", struct.pack("!H", len(names)) + body)


def data_row(*cells: bytes | None) -> bytes:
    """DataRow."""
    encoded = (struct.pack("!i", -1) if c is None else struct.pack("!i", len(c)) + c for c in cells)
    return message(b"D", struct.pack("!H", len(cells)) + b"".join(encoded))


def complete(tag: str) -> bytes:
    """CommandComplete."""
    return message(b"C", tag.encode() + b"\0")


class Peer:
    """The gateway, as the hostile target sees it."""

    def __init__(self, connection: socket.socket, catalog: bytes) -> None:
        self.socket = connection
        self._catalog = catalog
        self._buffer = b""
        #: A flood was taken to its last byte.
        self.outlasted = False

    def send(self, data: bytes) -> None:
        """Write, however long it takes."""
        self.socket.sendall(data)

    def flood(self, data: bytes, limit: int = 128 << 20) -> None:
        """Write again and again until nobody takes it."""
        block = data * max(1, 65536 // len(data))
        for _ in range(limit // len(block)):
            self.socket.sendall(block)
        self.outlasted = True

    def exactly(self, size: int) -> bytes:
        """Read. Raises EOFError."""
        while len(self._buffer) < size:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def startup(self) -> None:
        """Take the StartupMessage."""
        self.exactly(int.from_bytes(self.exactly(4), "big") - 4)

    def receive(self) -> bytes:
        """One message."""
        head = self.exactly(5)
        return head + self.exactly(int.from_bytes(head[1:5], "big") - 4)

    def statement(self) -> bytes:
        """Let the gateway in, answer its questions about the catalogue, return the first message of the client's."""
        self.startup()
        self.send(GREETING + READY)
        return self.next_statement()

    def next_statement(self) -> bytes:
        """The next message that is not a question of the gateway's own."""
        while (asked := self.receive())[5:-1] == CATALOG_QUERY.encode():
            self.send(row_description("c") + data_row(self._catalog) + complete("SELECT 1") + READY)
        return asked

    def silence(self) -> None:
        """Say nothing until the gateway hangs up."""
        with contextlib.suppress(EOFError):
            while True:
                self.exactly(1)


Attack = Callable[[Peer], None]


class HostileTarget:
    """Listens; `attack` is what happens to the next connections."""

    def __init__(self, catalog: bytes) -> None:
        self.attack: Attack = Peer.silence
        self.peers: list[Peer] = []
        self._catalog = catalog
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            peer = Peer(connection, self._catalog)
            self.peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(self.attack, peer), daemon=True)
            self._threads.append(thread)
            thread.start()

    @staticmethod
    def _serve(attack: Attack, peer: Peer) -> None:
        with peer.socket, contextlib.suppress(OSError, EOFError):
            attack(peer)

    def hang_up(self) -> None:
        """On everyone who is connected."""
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self.peers.clear()
        self._threads.clear()

    def close(self) -> None:
        """Stop listening, hang up."""
        # Closing a listening socket does not wake its accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        self.hang_up()


@contextmanager
def hostile(catalog: bytes) -> Iterator[HostileTarget]:
    """A hostile target until the end of the context. `catalog`: what an honest server answers to `CATALOG_QUERY`."""
    target = HostileTarget(catalog)
    try:
        yield target
    finally:
        target.close()


# ---------------------------------------------------------------- attacks


def says(data: bytes) -> Attack:
    """To the startup packet it says this, and then nothing more."""

    def attack(peer: Peer) -> None:
        peer.startup()
        peer.send(data)
        peer.silence()

    return attack


def floods(data: bytes, before: bytes = b"") -> Attack:
    """To the startup packet it says this without end."""

    def attack(peer: Peer) -> None:
        peer.startup()
        peer.send(before)
        peer.flood(data)

    return attack


def answers(data: bytes) -> Attack:
    """To the client's first statement it says this, and then nothing more."""

    def attack(peer: Peer) -> None:
        peer.statement()
        peer.send(data)
        peer.silence()

    return attack


def breaks_off(data: bytes) -> Attack:
    """To the client's first statement it says this, and is gone."""

    def attack(peer: Peer) -> None:
        peer.statement()
        peer.send(data)

    return attack


def scram(final: bytes, *, iterations: str = "4096", salt: bytes = b"salt", nonce: bytes | None = None) -> Attack:
    """Plays SCRAM without knowing the password; ends it with `final`."""

    def attack(peer: Peer) -> None:
        peer.startup()
        peer.send(message(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"))
        theirs = peer.receive().rpartition(b"r=")[2]
        given = nonce if nonce is not None else theirs + b"more"
        challenge = b"r=" + given + b",s=" + base64.b64encode(salt) + b",i=" + iterations.encode()
        peer.send(message(b"R", b"\0\0\0\x0b" + challenge))
        peer.receive()
        peer.send(final)
        peer.silence()

    return attack


_ROWS = row_description("a", "b")
_END = complete("SELECT 1") + READY
_WRONG = base64.b64encode(b"x" * 32)

LOGIN_ATTACKS: dict[str, Attack] = {
    "says nothing": Peer.silence,
    "is gone at once": lambda peer: None,
    "is gone after the startup packet": Peer.startup,
    "speaks another language": says(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"),
    "sends a message of negative length": says(b"R\xff\xff\xff\xff"),
    "sends a message of no length": says(b"R\0\0\0\0\0\0\0\0"),
    "announces a gigabyte": says(b"R\x40\0\0\0"),
    "announces sixty megabytes and stops": says(b"E\x03\xc0\0\0SERROR"),
    "sends an error without end": floods(b"x" * 1024, b"E\x7f\xff\xff\xff"),
    "sends an error without terminators": says(message(b"E", b"SERROR")),
    "sends an empty error": says(message(b"E", b"")),
    "sends an error of nothing": says(message(b"E", b"\0")),
    "asks for an unknown method": says(message(b"R", b"\0\0\0\x63")),
    "asks for nothing": says(message(b"R", b"")),
    "asks for Kerberos": says(message(b"R", b"\0\0\0\x07")),
    "offers no mechanism": says(message(b"R", b"\0\0\0\x0a\0")),
    "goes on with SASL that never began": says(message(b"R", b"\0\0\0\x0br=x,s=eA==,i=1")),
    "asks for a password without end": floods(message(b"R", b"\0\0\0\x05salt")),
    "sends notices without end": floods(message(b"N", b"SNOTICE\0C00000\0Mhello\0\0"), message(b"R", b"\0\0\0\0")),
    "sends parameters without end": floods(message(b"S", b"a\0b\0"), message(b"R", b"\0\0\0\0")),
    "sends parameters that are none": says(message(b"R", b"\0\0\0\0") + message(b"S", b"abc") + READY),
    "sends rows": says(message(b"R", b"\0\0\0\0") + data_row(b"x")),
    "is ready before it asked for a password": says(READY),
    "lets in twice": says(message(b"R", b"\0\0\0\0") * 2 + READY),
    "sends a cancel key of a megabyte": says(message(b"R", b"\0\0\0\0") + message(b"K", b"k" * (1 << 20)) + READY),
    "says more after it is ready": says(GREETING + READY + data_row(b"x")),
    "proves a wrong password": scram(message(b"R", b"\0\0\0\x0cv=" + _WRONG)),
    "proves nothing": scram(message(b"R", b"\0\0\0\0") + READY),
    "asks for two billion iterations": scram(b"", iterations="2000000000"),
    "asks for minus one iteration": scram(b"", iterations="-1"),
    "asks for iterations in words": scram(b"", iterations="many"),
    "asks for a number without end": scram(b"", iterations="9" * 20000),
    "sends a salt of a megabyte": scram(b"", salt=b"s" * (1 << 20), iterations="4096,x=1"),
    "sends somebody else's nonce": scram(b"", nonce=b"nobody"),
}

QUERY_ATTACKS: dict[str, Attack] = {
    "says nothing, then is gone": breaks_off(b""),
    "is gone after the description": breaks_off(_ROWS),
    "is gone inside a row": breaks_off(_ROWS + data_row(b"x", b"y")[:-3]),
    "is gone between rows": breaks_off(_ROWS + data_row(b"x", b"y") * 100),
    "sends a row of one cell too few": answers(_ROWS + data_row(b"x") + _END),
    "sends a row of one cell too many": answers(_ROWS + data_row(b"x", b"y", b"z") + _END),
    "sends a row of no bytes": answers(_ROWS + message(b"D", b"") + _END),
    "sends a cell beyond its row": answers(_ROWS + message(b"D", b"\0\2\0\0\0\x64xx") + _END),
    "sends a cell of minus two bytes": answers(_ROWS + message(b"D", b"\0\2\xff\xff\xff\xfe\xff\xff\xff\xff") + _END),
    "sends bytes behind the last cell": answers(_ROWS + message(b"D", data_row(b"x", b"y")[5:] + b"more") + _END),
    "sends rows without a description": answers(data_row(b"x", b"y") + _END),
    "describes 65535 columns in nothing": answers(message(b"T", b"\xff\xff") + _END),
    "describes a column without an end": answers(message(b"T", b"\0\1name") + _END),
    "describes more than it counts": answers(message(b"T", b"\0\1" + row_description("a", "b")[7:]) + _END),
    "describes twice": answers(_ROWS + _ROWS + data_row(b"x", b"y") + message(b"2", b"")),
    "sends a row of negative length": answers(_ROWS + b"D\xff\xff\xff\xff"),
    "sends a row of a gigabyte": answers(_ROWS + b"D\x40\0\0\0\0\2"),
    "sends a message of no type": answers(b"\0\0\0\0\4"),
    "sends a client's message": answers(message(b"Q", b"SELECT 1\0")),
    "completes what nobody parsed": answers(message(b"1", b"")),
    "completes what nobody bound": answers(message(b"2", b"")),
    "suspends what nobody executed": answers(_ROWS + message(b"s", b"")),
    "answers with a function result": answers(message(b"V", b"\xff\xff\xff\xff") + READY),
    "starts COPY BOTH": answers(message(b"W", b"\0\0\0")),
    "sends COPY data without COPY": answers(message(b"d", b"1\tx\n") + _END),
    "asks for authentication again": answers(message(b"R", b"\0\0\0\3")),
    "sends another key": answers(message(b"K", b"\0\0\0\1\0\0\0\2")),
    "negotiates again": answers(message(b"v", b"\0\3\0\0\0\0\0\0")),
    "is ready without an answer, twice": answers(READY * 2),
    "is ready in a status there is not": answers(_ROWS + complete("SELECT 0") + message(b"Z", b"Q")),
    "describes columns without end": answers(b"T\x03\xff\xff\xff"),
    "starts COPY OUT of nothing": answers(message(b"H", b"") + _END),
    "starts COPY IN of more columns than it has formats": answers(message(b"G", b"\0\0\2\0\0") + _END),
    "completes with two tags": answers(_ROWS + message(b"C", b"SELECT 1\0SELECT 2\0") + READY),
    "sends an error of thirty million fields": answers(message(b"E", b"M\0" * (30 << 20) + b"\0") + READY),
    "is ready with a long status": answers(message(b"Z", b"IIII")),
    "is ready without a status": answers(message(b"Z", b"")),
    "completes without a tag's end": answers(_ROWS + message(b"C", b"SELECT 1") + message(b"Z", b"IZ")),
    "sends an error without terminators": answers(message(b"E", b"SERROR") + READY),
    "sends an error of a field without a name": answers(message(b"E", b"\0\0\0") + READY),
    "sends a notice that ends early": answers(message(b"N", b"SNOTICE\0M") + READY),
    "sends a parameter without a value": answers(message(b"S", b"client_encoding\0") + READY * 2),
    "sends a parameter without a name": answers(message(b"S", b"") + READY * 2),
    "notifies without a channel": answers(message(b"A", b"\0\0\0\1") + READY * 2),
    "sends half a message and stops, then is gone": breaks_off(b"D\0\0\1\0\0\2"),
}
