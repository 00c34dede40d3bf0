"""Cancel requests to real servers: protected as the session's own connection is, or not sent."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostiary.core import Target, TlsMode, TlsSettings
from ostiary.protocols.postgres.framing import STARTTLS, message
from ostiary.runtime.dial import dial_aside
from tests.real.certificates import Authority
from tests.real.drivers.wire import WireClient, query
from tests.real.relay import relay
from tests.real.servers import PostgresServer


class Running:
    """A connection whose statement runs."""

    def __init__(self, server: PostgresServer) -> None:
        self.client = WireClient(server.host, server.port, 20)
        greeting = self.client.login("auth_trust", "", "postgres")
        key = next(m for m in greeting if m[:1] == b"K")[5:]
        self.request = message(b"", (80877102).to_bytes(4, "big") + key)
        # A request that comes before the statement would find nothing to end: the notice says that it runs.
        self.client.send(query("DO $$BEGIN RAISE WARNING 'here'; PERFORM pg_sleep(10); END$$"))
        self.client.until(b"N")

    def cancelled(self) -> bool:
        """How the statement ended; waits for it."""
        return b"C57014" in b"".join(self.client.until(b"Z"))


@pytest.fixture
def running(postgres15: PostgresServer) -> Iterator[Running]:
    """On PostgreSQL 15, which speaks TLS."""
    made = Running(postgres15)
    with made.client:
        yield made


async def cancel(port: int, running: Running, tls: TlsSettings) -> bytes:
    """Deliver the request through a relay; what passed on the wire."""
    async with relay(port) as between:
        target = Target("orders", "postgres", "127.0.0.1", between.port, "postgres", tls=tls)
        await dial_aside(target, running.request, STARTTLS)
    return between.passed


@pytest.mark.parametrize("mode", [TlsMode.REQUIRE, TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL])
async def test_over_tls(postgres15: PostgresServer, running: Running, mode: TlsMode) -> None:
    """The key is not on the wire, and the statement ends."""
    passed = await cancel(postgres15.port, running, TlsSettings(mode, ca=str(postgres15.ca)))
    assert passed.startswith(STARTTLS[0] + b"\x16")
    assert running.request[8:] not in passed
    assert await asyncio.to_thread(running.cancelled)


async def test_in_the_clear_where_the_target_is(postgres15: PostgresServer, running: Running) -> None:
    """`tls: {mode: disable}`: the request is all that is sent."""
    assert await cancel(postgres15.port, running, TlsSettings(TlsMode.DISABLE)) == running.request
    assert await asyncio.to_thread(running.cancelled)


async def test_not_to_somebody_else(postgres15: PostgresServer, running: Running, tmp_path: Path) -> None:
    """A certificate that another authority signed: the request stays here."""
    other = tmp_path / "ca.pem"
    other.write_bytes(Authority("somebody else").certificate_pem)
    passed = await cancel(postgres15.port, running, TlsSettings(TlsMode.VERIFY_FULL, ca=str(other)))
    assert passed.startswith(STARTTLS[0] + b"\x16")
    running.client.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        running.client.receive()


async def test_not_without_tls(postgres18: PostgresServer) -> None:
    """A server that declines TLS gets no key."""
    running = Running(postgres18)
    with running.client:
        assert await cancel(postgres18.port, running, TlsSettings(TlsMode.REQUIRE)) == STARTTLS[0]
