"""The target's leg up to ReadyForQuery: order, bounds, and what the client reads."""

import pytest

from ostiary.core import Lease, Permit, RefusalKind, Secret, Target, TlsMode, TlsSettings
from ostiary.protocols.postgres.catalog import CatalogCache
from ostiary.protocols.postgres.engine import PostgresEngine
from ostiary.protocols.postgres.framing import MAX_MESSAGE, message
from ostiary.protocols.postgres.refuse import SQLSTATE
from ostiary.protocols.postgres.results import fields_of
from ostiary.protocols.postgres.upstream import MAX_LOGIN, MAX_LOGIN_MESSAGE, MAX_LOGIN_MESSAGES, TargetLogin
from ostiary.sql import analyze
from ostiary.wire.contract import (
    Admitted,
    Close,
    Closed,
    Connected,
    Effect,
    Forward,
    ProtocolError,
    Received,
    Reply,
    Side,
)
from tests.protocols.postgres.shop import Clock

PERMIT = Permit("s1", None, release=True, version=0)
TARGET = Target("orders", "postgres", "127.0.0.1", 5432, "shop", tls=TlsSettings(TlsMode.DISABLE))
LEASE = Lease("l1", "u", Secret("pw"), "static")
LET_IN = message(b"R", b"\0\0\0\0")
PASSWORD = message(b"R", b"\0\0\0\3")
MD5 = message(b"R", b"\0\0\0\5salt")
SASL = message(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0")
NOTICE = message(b"N", b"SNOTICE\0Mhello\0\0")
READY = message(b"Z", b"I")


def login() -> TargetLogin:
    """A login whose startup packet was sent."""
    leg = TargetLogin(PERMIT, TARGET, LEASE, "shop", {}, 0, lambda n: b"\1" * n)
    leg.connected()
    return leg


@pytest.mark.parametrize("method", [PASSWORD, MD5])
def test_a_password_is_sent_once(method: bytes) -> None:
    """Then the target lets in or refuses."""
    leg = login()
    (sent,) = leg.receive(method)
    assert isinstance(sent, Forward)
    with pytest.raises(ProtocolError, match="out of place"):
        leg.receive(method)


@pytest.mark.parametrize(
    "messages",
    [
        (message(b"R", b"\0\0\0\x0br=x"),),
        (message(b"R", b"\0\0\0\x0cv=x"),),
        (SASL, SASL),
        (SASL, PASSWORD),
        (SASL, LET_IN),
        (SASL, message(b"R", b"\0\0\0\x0cv=x")),
        (LET_IN, LET_IN),
        (LET_IN, PASSWORD),
    ],
)
def test_authentication_out_of_order(messages: tuple[bytes, ...]) -> None:
    """A method is begun once and ends in AuthenticationOk."""
    leg = login()
    leg.receive(b"".join(messages[:-1]))
    with pytest.raises(ProtocolError, match="out of place"):
        leg.receive(messages[-1])


def test_a_challenge_is_answered_once() -> None:
    """Each answer costs this process up to `MAX_ITERATIONS` hashes."""
    leg = login()
    leg.receive(SASL)
    challenge = message(b"R", b"\0\0\0\x0br=AQEBAQEBAQEBAQEBAQEBAQEBAQEBmore,s=eA==,i=1")
    assert leg.receive(challenge)
    with pytest.raises(ProtocolError, match="out of place"):
        leg.receive(challenge)


def test_messages_are_counted() -> None:
    """As many as the bound are taken, and one more is refused."""
    leg = login()
    leg.receive(NOTICE * MAX_LOGIN_MESSAGES)
    with pytest.raises(ProtocolError, match="without end"):
        leg.receive(NOTICE)


def test_bytes_are_counted() -> None:
    """Long messages end it sooner than many do."""
    long = message(b"N", b"M" + b"x" * (MAX_LOGIN_MESSAGE - 10) + b"\0\0")
    leg = login()
    for _ in range(MAX_LOGIN // len(long)):
        leg.receive(long)
    with pytest.raises(ProtocolError, match="without end"):
        leg.receive(long)


def test_a_long_message_is_refused_unread() -> None:
    """By its length, before it comes; afterwards the usual limit holds."""
    with pytest.raises(ProtocolError, match="refused unread"):
        login().receive(b"E" + (MAX_LOGIN_MESSAGE + 1).to_bytes(4, "big"))
    leg = login()
    leg.receive(LET_IN + READY)
    assert leg.framer.feed(b"D" + MAX_MESSAGE.to_bytes(4, "big")) == []


def engine() -> PostgresEngine:
    """An engine whose target is up."""
    made = PostgresEngine(
        "127.0.0.1:9",
        loopback=True,
        tls_offered=False,
        plaintext=True,
        catalogs=CatalogCache(Clock()),
        analyze=analyze,
        entropy=lambda n: b"\1" * n,
    )
    made.handle(Admitted(PERMIT, TARGET, LEASE))
    made.handle(Connected())
    return made


def sentence(effects: list[Effect]) -> dict[str, str]:
    """Fields of the one FATAL error that ends the session."""
    reply, close = effects
    assert isinstance(reply, Reply)
    assert isinstance(close, Close)
    names, cells = fields_of(reply.data)
    fields = {name: (cell or b"").decode() for name, cell in zip(names, cells, strict=True)}
    assert fields["S"] == "FATAL"
    return fields


@pytest.mark.parametrize(
    ("said", "kind", "why"),
    [
        (message(b"E", b"SFATAL\0C28P01\0Mno\0\0"), RefusalKind.TARGET, "the target says: no (28P01)"),
        (message(b"R", b"\0\0\0\7"), RefusalKind.TARGET, "GSSAPI, which is not supported"),
        (NOTICE * (MAX_LOGIN_MESSAGES + 1), RefusalKind.PROTOCOL, "without end"),
        (LET_IN + message(b"S", b"abc") + READY, RefusalKind.PROTOCOL, "malformed ParameterStatus"),
        (LET_IN + message(b"S", b"a\0") + READY, RefusalKind.PROTOCOL, "malformed ParameterStatus"),
        (LET_IN + message(b"S", b"") + READY, RefusalKind.PROTOCOL, "malformed ParameterStatus"),
        (LET_IN + message(b"S", b"\0on\0") + READY, RefusalKind.PROTOCOL, "malformed ParameterStatus"),
        (LET_IN + message(b"S", b"a\0b\0c\0") + READY, RefusalKind.PROTOCOL, "malformed ParameterStatus"),
    ],
)
def test_the_client_reads_which_target_and_why(said: bytes, kind: RefusalKind, why: str) -> None:
    """Thing, reason, next step."""
    fields = sentence(engine().handle(Received(Side.TARGET, said)))
    assert fields["C"] == SQLSTATE[kind]
    assert fields["M"].startswith("login to target orders failed: the target")
    assert why in fields["M"]
    assert fields["H"]


def test_a_target_gone_during_the_login() -> None:
    """Named too."""
    assert sentence(engine().handle(Closed(Side.TARGET)))["M"] == "target orders closed the connection during the login"


def test_ready_when_the_target_is() -> None:
    """Ends the deadline of the login."""
    made = engine()
    made.handle(Received(Side.TARGET, LET_IN))
    assert not made.ready
    made.handle(Received(Side.TARGET, READY))
    assert made.ready
