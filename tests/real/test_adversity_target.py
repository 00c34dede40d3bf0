"""Targets that break the protocol: the client is told, the record is closed, nobody else notices, memory is bounded."""

from collections.abc import Iterator

import pytest

from ostiary.protocols.postgres.catalog import CATALOG_QUERY
from tests.real import gateway
from tests.real.drivers.wire import WireClient, query
from tests.real.gateway import TOKEN, Gateway
from tests.real.hostile import LOGIN_ATTACKS, QUERY_ATTACKS, HostileTarget, hostile
from tests.real.servers import PostgresServer

pytestmark = pytest.mark.timeout(60)
#: More than any of these attacks may make a gateway grow by, in bytes.
GROWTH = 100 << 20


@pytest.fixture(scope="module")
def target(postgres15: PostgresServer) -> Iterator[HostileTarget]:
    """The hostile target, answering the catalogue's question like an honest one."""
    ((catalog,),) = postgres15.run(CATALOG_QUERY)
    with hostile(str(catalog).encode()) as running:
        yield running


@pytest.fixture(scope="module")
def through(
    postgres15: PostgresServer, target: HostileTarget, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """One gateway in front of both: "orders" is honest, "hostile" is not."""
    targets = {
        "orders": (postgres15.host, postgres15.port, "postgres"),
        "hostile": ("127.0.0.1", target.port, "postgres"),
    }
    home = tmp_path_factory.mktemp("gateway")
    with gateway.running(home, targets, postgres15.superuser, postgres15.password, handshake_seconds=3.0) as running:
        yield running


@pytest.fixture
def witness(through: Gateway, target: HostileTarget) -> Iterator[WireClient]:
    """Somebody else's session, which works before and after."""
    with WireClient(through.host, through.port) as client:
        client.login("witness", TOKEN, "orders")
        yield client
        target.hang_up()
        client.send(query("SELECT 'still here'"))
        assert b"still here" in b"".join(client.until(b"Z"))


def told(messages: list[bytes]) -> bytes:
    """The last error among the messages."""
    errors = [m for m in messages if m[:1] == b"E"]
    assert errors, f"nothing was said: {[m[:40] for m in messages]}"
    return errors[-1]


def ends_well(through: Gateway, before: set[str], rss: int) -> None:
    """The record of every session that began is closed, and the gateway has not grown."""
    through.until(lambda g: not (g.open_sessions() - before), "the record is closed")
    assert through.rss() - rss < GROWTH


@pytest.mark.parametrize("name", LOGIN_ATTACKS)
def test_target_breaks_the_login(through: Gateway, target: HostileTarget, witness: WireClient, name: str) -> None:
    """The client gets a sentence; what the target said is not believed."""
    del witness
    target.attack = LOGIN_ATTACKS[name]
    before, rss = through.open_sessions(), through.rss()
    with WireClient(through.host, through.port, 8) as client, pytest.raises(PermissionError) as refused:
        client.login("anyone", TOKEN, "hostile")
    assert "failed inside" not in str(refused.value)
    assert "SFATAL" in str(refused.value)
    assert not any(peer.outlasted for peer in target.peers)
    ends_well(through, before, rss)


@pytest.mark.parametrize("name", QUERY_ATTACKS)
def test_target_breaks_an_answer(through: Gateway, target: HostileTarget, witness: WireClient, name: str) -> None:
    """The session ends with a sentence."""
    del witness
    target.attack = QUERY_ATTACKS[name]
    before, rss = through.open_sessions(), through.rss()
    with WireClient(through.host, through.port, 8) as client:
        client.login("anyone", TOKEN, "hostile")
        client.send(query("SELECT 'a' AS a, 'b' AS b"))
        refused = told(client.rest())
    assert b"failed inside" not in refused
    assert b"SFATAL" in refused
    ends_well(through, before, rss)
