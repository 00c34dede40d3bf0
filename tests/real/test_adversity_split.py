"""Where the bytes are cut makes no difference: a whole session, one byte at a time on both legs."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.real import gateway
from tests.real.drivers.wire import (
    COPY_DONE,
    FLUSH,
    SYNC,
    WireClient,
    all_of,
    bind,
    close,
    copy_data,
    describe,
    execute,
    normal,
    parse,
    query,
)
from tests.real.gateway import TOKEN
from tests.real.servers import PostgresServer

pytestmark = pytest.mark.timeout(120)

#: Every kind of message both ways; each step with the types that end its answer.
SESSION: list[tuple[bytes, str]] = [
    (query("CREATE TEMP TABLE t (a int, b text)"), "Z"),
    (query("INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 5) g; SELECT a + 0 FROM t"), "Z"),
    (query("SELECT 'not seen'; SELECT 1/0; SELECT 2"), "Z"),
    (parse("SELECT a + 0, b || '' FROM t WHERE a > $1", "s", (23,)) + describe("S", "s") + FLUSH, "T"),
    (bind("p", "s", (b"\0\0\0\1",), (1,), (1, 0)) + describe("P", "p") + execute("p", 2) + FLUSH, "s"),
    (execute("p", 0) + close("P", "p") + SYNC, "Z"),
    (all_of("", "SELECT nothing") + all_of("", "SELECT 1") + SYNC + all_of("", "SELECT 2") + SYNC, "ZZ"),
    (query("COPY t FROM STDIN"), "G"),
    (copy_data(b"6\tsix\n7\tse") + copy_data(b"ven\n") + COPY_DONE, "Z"),
    (query("COPY t TO STDOUT (FORMAT csv, HEADER)"), "Z"),
    (query("DO $$ BEGIN RAISE NOTICE 'noted'; END $$; LISTEN me; NOTIFY me, 'word'"), "Z"),
    (query("SET application_name = 'split'"), "Z"),
    (query("SELECT repeat('wide ', 400)"), "Z"),
    (query("BEGIN"), "Z"),
    (query("SELEC"), "Z"),
    (query("ROLLBACK"), "Z"),
]


def _trickle(source: socket.socket, sink: socket.socket, size: int) -> None:
    """Pass bytes on, so many at a time, each its own packet."""
    with suppress(OSError):
        while data := source.recv(65536):
            for at in range(0, len(data), size):
                sink.sendall(data[at : at + size])
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def splitter(host: str, port: int, size: int) -> Iterator[int]:
    """A relay that cuts everything into pieces of that size; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    open_sockets = [listener]

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((host, port))
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                open_sockets.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threads.append(threading.Thread(target=_trickle, args=(*pair, size)))
                    threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        for each in open_sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in (accepting, *threads):
            thread.join(10)


def played(port: int, database: str, token: str) -> list[list[str]]:
    """The session's answers."""
    found = []
    with WireClient("127.0.0.1", port, 30) as client:
        client.login("auth_trust", token, database)
        for data, ends in SESSION:
            client.send(data)
            answer: list[bytes] = []
            for end in ends:
                answer += client.until(end.encode())
            found.append(normal(answer))
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
def test_cut_anywhere(postgres15: PostgresServer, tmp_path: Path, size: int) -> None:
    """Between client and gateway and between gateway and server, both ways."""
    with (
        splitter(postgres15.host, postgres15.port, size) as upstream,
        gateway.running(
            tmp_path, {"orders": ("127.0.0.1", upstream, "postgres")}, "auth_trust", postgres15.password
        ) as through,
        splitter("127.0.0.1", through.port, size) as client,
    ):
        assert played(client, "orders", TOKEN) == played(postgres15.port, "postgres", "")
