"""The door of a real gateway: who failed too often reads why before anything is asked, the others are served."""

import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ostiary.gate.attempts import STRANGER
from tests.real.gateway import Gateway
from tests.real.served import serving
from tests.real.servers import PostgresServer


@pytest.fixture
def served(postgres: PostgresServer, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway of this test's own."""
    target = (postgres.host, postgres.port, "postgres")
    with serving(tmp_path, target, "auth_trust", postgres.password) as gateway:
        yield gateway


def tried(gateway: Gateway, password: bytes, address: str) -> bytes:
    """All that a client from an address of loopback reads, password and all, without TLS."""
    startup = b"\0\x03\0\0user\0x\0database\0orders\0\0"
    with socket.create_connection((gateway.host, gateway.port), 10, (address, 0)) as connection:
        connection.sendall((len(startup) + 4).to_bytes(4, "big") + startup)
        told = connection.recv(4096)
        if told.startswith(b"R"):
            connection.sendall(b"p" + (len(password) + 5).to_bytes(4, "big") + password + b"\0")
            told = connection.recv(4096)
        return told


def test_the_door(served: Gateway) -> None:
    """Bad tokens have a burst; then the sentence comes at once, also for a good token; other addresses are served."""
    info = psycopg.conninfo.make_conninfo(
        host=served.host, port=served.port, dbname="orders", user="x", password=served.token, sslmode="disable"
    )
    psycopg.connect(info).close()
    for _ in range(int(STRANGER[0])):
        assert b"token refused" in tried(served, b"a.b.c", "127.0.0.9")
    for password in (b"a.b.c", served.token.encode()):
        told = tried(served, password, "127.0.0.9")
        assert told.startswith(b"E")
        assert b"C53300\0" in told
        assert b"too many logins from this address failed" in told
        assert b"wait " in told
    psycopg.connect(info).close()
    assert b"token refused" in tried(served, b"a.b.c", "127.0.0.1")
    assert b"token refused" in tried(served, b"a.b.c", "127.0.0.10")
