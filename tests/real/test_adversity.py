"""Clients that break the protocol, stall or vanish: nobody else notices, memory is bounded, the record is closed."""

import random
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.real import gateway
from tests.real.drivers.wire import (
    COPY_DONE,
    SSL_REQUEST,
    SYNC,
    WireClient,
    all_of,
    copy_data,
    message,
    parse,
    password,
    query,
    startup,
)
from tests.real.gateway import TOKEN, Gateway
from tests.real.servers import PostgresServer

pytestmark = pytest.mark.timeout(60)
HANDSHAKE = 2.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def through(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that waits two seconds for a token."""
    targets = {"orders": (postgres15.host, postgres15.port, "postgres")}
    home = tmp_path_factory.mktemp("gateway")
    with gateway.running(
        home, targets, postgres15.superuser, postgres15.password, handshake_seconds=HANDSHAKE
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def witness(through: Gateway, postgres15: PostgresServer) -> Iterator[WireClient]:
    """Somebody else's session works before and after; then no session and no backend is left behind."""
    with WireClient(through.host, through.port) as client:
        client.login("witness", TOKEN, "orders")
        yield client
        client.send(query("SELECT 'still here'"))
        assert b"still here" in b"".join(client.until(b"Z"))
    through.until(lambda g: not g.open_sessions(), "every record is closed")
    running = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    through.until(lambda _: postgres15.run(running) == [(0,)], "no backend is left on the server")


def admitted(through: Gateway) -> WireClient:
    """A client past its login."""
    client = WireClient(through.host, through.port)
    client.login("anyone", TOKEN, "orders")
    return client


def refused(client: WireClient) -> list[bytes]:
    """What is said before the connection is closed."""
    found = client.rest()
    assert all(m[:1] in b"EN" for m in found), found
    return found


# ---------------------------------------------------------------- before the token

_NOISE = random.Random(7).randbytes(4096)

OPENINGS: dict[str, bytes] = {
    "no length": b"\0\0\0\0\0\3\0\0",
    "a length of seven": b"\0\0\0\7\0\3\0\0",
    "a negative length": b"\xff\xff\xff\xff\0\3\0\0",
    "the smallest negative length": b"\x80\0\0\0\0\3\0\0",
    "two gigabytes": b"\x7f\xff\xff\xff\0\3\0\0",
    "one byte more than a startup packet": struct.pack("!ihh", 10001, 3, 0),
    "protocol 2": struct.pack("!ihh", 8, 2, 0),
    "protocol 4": struct.pack("!ihh", 8, 4, 0),
    "a startup packet without an end": struct.pack("!ihh", 13, 3, 0) + b"user\0",
    "a startup packet that is not UTF-8": struct.pack("!ihh", 16, 3, 0) + b"user\0\xff\0\0",
    "HTTP": b"GET / HTTP/1.1\r\nHost: db\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "noise": _NOISE,
    "noise after SSLRequest": SSL_REQUEST + _NOISE,
    "a startup packet stuffed behind SSLRequest": SSL_REQUEST + startup("u", "orders"),
    "TLS of noise": b"\x16\x03\x01\x02\x00" + _NOISE,
    "TLS of another kind": b"\x16\x02\x00\x00\x05hello",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x28\0",
    "a cancel request of another length": struct.pack("!ii", 9, 80877102) + b"x",
    "a cancel request for nobody": struct.pack("!iiii", 16, 80877102, 1, 2),
    "a replication connection": startup("u", "orders", replication="true"),
    "a startup option": startup("u", "orders", options="-c role=postgres"),
    "a startup setting that changes meaning": startup("u", "orders", search_path="evil"),
    "a query instead of a token": startup("u", "orders") + query("SELECT 1"),
    "a token of a gigabyte": startup("u", "orders") + b"p\x40\0\0\0",
    "a token of negative length": startup("u", "orders") + b"p\xff\xff\xff\xf0",
    "an empty token": startup("u", "orders") + password(""),
    "a token with more behind it": startup("u", "orders") + password(TOKEN) + query("SELECT 1"),
    "a token that is none": startup("u", "orders") + password("not-it"),
    "a target that is none": startup("u", "nowhere") + password(TOKEN),
    "a database that is not listed": startup("u", "orders/template1") + password(TOKEN),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_bad_openings_are_refused(through: Gateway, name: str) -> None:
    """An error or a closed connection at once, and no memory for what was announced."""
    before = through.rss()
    with WireClient(through.host, through.port, HANDSHAKE - 0.5) as client:
        client.send(OPENINGS[name])
        try:
            while client.socket.recv(65536):
                pass
        except ConnectionError:
            pass
    assert through.rss() - before < 8 * MIB


def test_tls_with_a_plain_listener_is_declined(through: Gateway) -> None:
    """A listener without a certificate says so, and goes on in the clear."""
    with WireClient(through.host, through.plain_port) as client:
        client.send(SSL_REQUEST)
        assert client.exactly(1) == b"N"
        client.login("u", TOKEN, "orders")
    with WireClient(through.host, through.plain_port) as client:
        client.send(b"\x16\x03\x01\x00\x05hello")
        assert b"certificate" in b"".join(refused(client))


SILENCES: dict[str, bytes] = {
    "nothing": b"",
    "a byte": b"\0",
    "SSLRequest": SSL_REQUEST,
    "half an SSLRequest": SSL_REQUEST[:5],
    "three bytes of TLS": b"\x16\x03\x01",
    "no token": startup("u", "orders"),
    "half a startup packet": startup("u", "orders")[:9],
}


@pytest.mark.parametrize("name", SILENCES)
def test_silent_sockets_are_closed_in_time(through: Gateway, name: str) -> None:
    """Whoever does not come to the point within the deadline is disconnected."""
    began = time.monotonic()
    with WireClient(through.host, through.port, HANDSHAKE + 5) as client:
        client.send(SILENCES[name])
        while client.socket.recv(65536):
            pass
    assert HANDSHAKE - 0.5 < time.monotonic() - began < HANDSHAKE + 4


def test_a_dripping_socket_is_closed_in_time(through: Gateway) -> None:
    """A byte now and then does not move the deadline."""
    began = time.monotonic()
    with WireClient(through.host, through.port) as client:
        client.socket.settimeout(0.1)
        opening = startup("u", "orders", application_name="x" * 4000)
        for byte in opening:
            try:
                client.send(bytes([byte]))
                if not client.socket.recv(4096):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert time.monotonic() - began < HANDSHAKE + 4


def test_hundreds_of_silent_sockets_hold_nobody_up(through: Gateway) -> None:
    """A new client gets in while they wait."""
    silent = [socket.create_connection((through.host, through.port)) for _ in range(300)]
    try:
        began = time.monotonic()
        with admitted(through) as client:
            client.send(query("SELECT 1"))
            client.until(b"Z")
        assert time.monotonic() - began < HANDSHAKE
    finally:
        for each in silent:
            each.close()


def test_noise_inside_tls(through: Gateway) -> None:
    """What would be refused in the clear is refused in TLS."""
    context = ssl.create_default_context(cafile=str(through.ca))
    with socket.create_connection((through.host, through.port), 10) as plain:
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
            tls.sendall(_NOISE)
            assert b"FATAL" in tls.recv(65536)


# ---------------------------------------------------------------- after the token

MESSAGES: dict[str, bytes] = {
    "a type there is not": message(b"\x7f", b""),
    "a type of the server's": message(b"D", b"")[:1].replace(b"D", b"T") + b"\0\0\0\4",
    "no length": b"Q\0\0\0\0",
    "a length of three": b"Q\0\0\0\3",
    "a negative length": b"Q\xff\xff\xff\xff",
    "the smallest negative length": b"Q\x80\0\0\0",
    "a gigabyte": b"Q\x40\0\0\0SELECT",
    "two gigabytes of COPY": b"d\x7f\xff\xff\xff",
    "a Sync of a gigabyte": b"S\x40\0\0\0",
    "a query without an end": message(b"Q", b"SELECT 1"),
    "a query of two": message(b"Q", b"SELECT 1\0SELECT 2\0"),
    "an empty Query message": message(b"Q", b""),
    "a Parse that ends early": message(b"P", b"name\0SELECT 1"),
    "a Parse of more types than it has": message(b"P", b"\0SELECT 1\0\0\5\0\0\0\x17"),
    "a Bind of 65535 parameters in nothing": message(b"B", b"\0\0\0\0\xff\xff\0\0"),
    "a Bind of a parameter beyond its end": message(b"B", b"\0\0\0\0\0\1\0\0\x10\0x\0\0"),
    "a Bind of a parameter of minus two bytes": message(b"B", b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"),
    "a Bind with more behind it": message(b"B", b"\0\0\0\0\0\0\0\0more"),
    "a Describe of something else": message(b"D", b"Xname\0"),
    "an empty Describe": message(b"D", b""),
    "an Execute without a limit": message(b"E", b"\0"),
    "a Close of something else": message(b"C", b"Xname\0"),
    "an empty FunctionCall": message(b"F", b""),
    "a FunctionCall of arguments it has not": message(b"F", struct.pack("!Ihhi", 177, 0, 9, 4)),
    "a password again": password(TOKEN),
    "a startup packet again": startup("u", "orders"),
    "noise": b"\xff" + _NOISE,
}


@pytest.mark.parametrize("name", MESSAGES)
def test_bad_messages_end_the_session_with_a_sentence(through: Gateway, name: str) -> None:
    """FATAL and closed; or an ERROR as the server gives it, and the session goes on. Never a guess, never silence."""
    before = through.rss()
    with admitted(through) as client:
        client.send(MESSAGES[name] + SYNC)
        said: list[bytes] = []
        try:
            said += client.until(b"Z")
        except (EOFError, ConnectionError):
            pass
        else:
            client.send(query("SELECT 'goes on'"))
            said += client.rest() if said[0][:1] != b"E" else client.until(b"Z")
    if said:
        assert said[0][:1] == b"E", said
        assert b"failed inside" not in said[0]
    assert through.rss() - before < 8 * MIB


def test_a_large_message_that_stalls_keeps_no_more_than_came(through: Gateway) -> None:
    """Sixty megabytes are announced, one comes."""
    before = through.rss()
    with admitted(through) as client:
        client.send(b"Q\x03\xc0\0\0" + b"x" * MIB)
        client.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.receive()
        assert through.rss() - before < 16 * MIB


def test_statements_without_reading_answers(through: Gateway) -> None:
    """A client that only writes is stopped by its own socket; queues do not grow."""
    before = through.rss()
    statement = all_of("", "SELECT repeat('x', 200)") + SYNC
    with admitted(through) as client:
        client.socket.settimeout(1.0)
        sent = 0
        try:
            while sent < 256 * MIB:
                client.socket.sendall(statement * 200)
                sent += len(statement) * 200
        except TimeoutError:
            pass
        assert sent < 64 * MIB, "nothing ever stopped it"
        assert through.rss() - before < 48 * MIB


def test_unfinished_pipeline_does_not_grow(through: Gateway) -> None:
    """Parse without Sync, with a new name every time: bounded, and refused in the end."""
    before = through.rss()
    with admitted(through) as client:
        client.socket.settimeout(20)
        for start in range(0, 20_000, 100):
            client.send(b"".join(parse("SELECT 1", f"s{n}") for n in range(start, start + 100)))
        client.send(SYNC)
        assert any(m[:1] == b"E" for m in client.until(b"Z"))
        assert through.rss() - before < 48 * MIB


# ---------------------------------------------------------------- stalls and vanishing


@pytest.mark.parametrize("how", ["query", "extended", "copy", "tls"])
def test_a_client_that_stops_reading_costs_no_memory(through: Gateway, postgres15: PostgresServer, how: str) -> None:
    """A million rows wait at the server, not in the gateway; when the client reads on, all of them come."""
    count = 1_000_000 if how == "query" else 200_000
    wide = f"SELECT g, repeat('x', 100) FROM generate_series(1, {count}) g"
    asked = {"extended": all_of("", wide) + SYNC, "copy": query(f"COPY ({wide}) TO STDOUT")}.get(how, query(wide))
    with admitted(through) as client:
        if how == "tls":
            client.socket.close()
            client.socket = _tls(through)
            client.login("anyone", TOKEN, "orders")
        before = through.rss()
        client.send(asked)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"
        through.until(lambda _: postgres15.run(waits) == [(1,)], "the server waits for the reader")
        assert through.rss() - before < 24 * MIB
        client.socket.settimeout(40)
        rows = 0
        while (received := client.receive())[:1] != b"Z":
            rows += received[:1] in (b"D", b"d")
        assert rows == count
        assert through.rss() - before < 48 * MIB


def _tls(through: Gateway) -> ssl.SSLSocket:
    plain = socket.create_connection((through.host, through.port), 20)
    plain.sendall(SSL_REQUEST)
    assert plain.recv(1) == b"S"
    return ssl.create_default_context(cafile=str(through.ca)).wrap_socket(plain, server_hostname="127.0.0.1")


def _abort(client: WireClient) -> None:
    """A reset, not a goodbye."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


def _half_close(client: WireClient) -> None:
    """No more from here; still listening."""
    client.socket.shutdown(socket.SHUT_WR)
    client.rest()


LEAVING: dict[str, Callable[[WireClient], None]] = {
    "aborts": _abort,
    "closes": lambda client: client.socket.close(),
    "half-closes": _half_close,
}


def _at(*sends: bytes, until: bytes = b"") -> Callable[[WireClient], None]:
    def act(client: WireClient) -> None:
        for data in sends:
            client.send(data)
        if until:
            client.until(until)

    return act


def _copying(client: WireClient) -> None:
    _at(query("CREATE TEMP TABLE c (a int); COPY c FROM STDIN"), until=b"G")(client)
    client.send(copy_data(b"1\n") * 1000 + copy_data(b"2\n")[:-1])


MOMENTS: dict[str, Callable[[WireClient], None]] = {
    "idle": _at(),
    "inside a message": _at(query("SELECT 1")[:7]),
    "inside a statement": _at(query("SELECT pg_sleep(0.3)")),
    "inside a transaction": _at(query("BEGIN"), until=b"Z"),
    "inside COPY FROM": _copying,
    "inside COPY TO": _at(query("COPY (SELECT generate_series(1, 3000000)) TO STDOUT"), until=b"d"),
    "inside a large result": _at(query("SELECT g, repeat('x', 500) FROM generate_series(1, 300000) g"), until=b"D"),
    "inside a pipeline": _at(all_of("", "SELECT 1") * 50),
}


@pytest.mark.parametrize("leaving", LEAVING)
@pytest.mark.parametrize("moment", MOMENTS)
def test_clients_that_vanish(through: Gateway, moment: str, leaving: str) -> None:
    """Whenever and however one goes, its record is closed and its backend ends (the fixture looks)."""
    client = admitted(through)
    client.socket.settimeout(20)
    MOMENTS[moment](client)
    LEAVING[leaving](client)
    client.socket.close()


def test_the_servers_backend_is_terminated(through: Gateway, postgres15: PostgresServer) -> None:
    """The server's own sentence reaches the client, inside a result as well as between two."""
    for asked in ("SELECT 1", "SELECT g, repeat('x', 500) FROM generate_series(1, 300000) g"):
        with admitted(through) as client:
            client.send(query("SELECT pg_backend_pid()"))
            row = next(m for m in client.until(b"Z") if m[:1] == b"D")
            client.send(query(asked))
            client.until(b"D")
            postgres15.run("SELECT pg_terminate_backend(%s)", (int(row[11:]),))
            said = [m for m in client.rest() if m[:1] == b"E"]
            assert said
            assert b"FATAL" in said[0]


def test_copy_into_a_table_that_fails_midway(through: Gateway) -> None:
    """A client that goes on sending after the error is not what hangs the session."""
    with admitted(through) as client:
        client.send(query("CREATE TEMP TABLE c (a int); COPY c FROM STDIN"))
        client.until(b"G")
        client.send(copy_data(b"x\n") + copy_data(b"1\n" * 5000) * 200 + COPY_DONE)
        assert any(m[:1] == b"E" for m in client.until(b"Z"))
        client.send(query("SELECT 'goes on'"))
        assert b"goes on" in b"".join(client.until(b"Z"))


def _descriptors(through: Gateway) -> int:
    return psutil.Process(through.process.pid).num_fds()


def test_many_sessions_come_and_go(through: Gateway) -> None:
    """Opening and closing leaves neither descriptors nor memory behind."""
    for _ in range(20):
        admitted(through).socket.close()
    through.until(lambda g: len(g.open_sessions()) == 1, "the first ones ended")
    before, descriptors = through.rss(), _descriptors(through)
    for _ in range(200):
        admitted(through).socket.close()
    through.until(lambda g: len(g.open_sessions()) == 1, "all of them ended")
    through.until(lambda g: _descriptors(g) <= descriptors + 3, "their descriptors are closed")
    assert through.rss() - before < 8 * MIB
