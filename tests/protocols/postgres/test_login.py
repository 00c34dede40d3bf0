"""The client's leg up to the token, as byte diagrams."""

import pytest

from ostiary.core import Secret
from ostiary.protocols.postgres.login import BOUND_USER, MAX_TOKEN, OAUTH_USER, ClientLogin
from ostiary.wire.contract import Authenticate, Close, Effect, Interrupt, ProtocolError, Reply, Side, StartTls

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
GSSENC_REQUEST = bytes.fromhex("0000000804d21630")
CLEARTEXT = b"R\0\0\0\x08\0\0\0\x03"


def startup(minor: int = 0, **parameters: str) -> bytes:
    """A StartupMessage."""
    pairs = b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
    return (len(pairs) + 8).to_bytes(4, "big") + (3 << 16 | minor).to_bytes(4, "big") + pairs


def password(token: bytes) -> bytes:
    """A PasswordMessage."""
    return b"p" + (len(token) + 5).to_bytes(4, "big") + token + b"\0"


def login(*, tls: bool = True) -> ClientLogin:
    """A fresh leg."""
    return ClientLogin(source="127.0.0.1:1", loopback=True, tls_offered=tls, plaintext=True)


def proof_of(effects: list[Effect]) -> Authenticate:
    """The one Authenticate."""
    (found,) = [e for e in effects if isinstance(e, Authenticate)]
    return found


def test_token_as_password() -> None:
    """Startup, password message, proof; the database names the target, the user is free."""
    leg = login()
    assert leg.receive(startup(user="anyone", database="orders/other", application_name="job")) == [Reply(CLEARTEXT)]
    asked = proof_of(leg.receive(password(b"a.b.c")))
    assert (asked.proof.target, asked.database, asked.proof.encrypted) == ("orders", "other", False)
    assert asked.proof.token == Secret("a.b.c")
    assert leg.settings == {"application_name": "job"}


def test_one_byte_at_a_time() -> None:
    """Any chunking leads to the same effects."""
    leg = login()
    effects = [e for byte in startup(user="u", database="d") for e in leg.receive(bytes([byte]))]
    effects += [e for byte in password(b"t") for e in leg.receive(bytes([byte]))]
    assert effects[0] == Reply(CLEARTEXT)
    assert isinstance(effects[1], Authenticate)


def test_tls_after_gssenc_and_ssl_requests() -> None:
    """GSSENC is answered N, never an error; SSLRequest may follow."""
    leg = login()
    assert leg.receive(GSSENC_REQUEST) == [Reply(b"N")]
    assert leg.receive(SSL_REQUEST) == [Reply(b"S"), StartTls(Side.CLIENT)]
    leg.tls_started()
    leg.receive(startup(user="u", database="d"))
    assert proof_of(leg.receive(password(b"t"))).proof.encrypted


def test_with_a_client_certificate_no_password_is_asked_for() -> None:
    """The chain that TLS verified is the proof; but who asks for SASL OAUTHBEARER brings a token."""
    leg = login()
    leg.receive(SSL_REQUEST)
    leg.tls_started((b"leaf", b"root"))
    (asked,) = leg.receive(startup(user="u", database="orders/other"))
    assert isinstance(asked, Authenticate)
    assert (asked.proof.token, asked.proof.certificates) == (Secret(""), (b"leaf", b"root"))
    assert (asked.proof.target, asked.database, asked.proof.encrypted) == ("orders", "other", True)
    leg = login()
    leg.receive(SSL_REQUEST)
    leg.tls_started((b"leaf", b"root"))
    assert leg.receive(startup(user=OAUTH_USER, database="d"))[0] != asked
    response = b"n,,\x01auth=Bearer a.b.c\x01\x01"
    body = b"OAUTHBEARER\0" + len(response).to_bytes(4, "big") + response
    proof = proof_of(leg.receive(b"p" + (len(body) + 4).to_bytes(4, "big") + body)).proof
    assert (proof.token, proof.certificates) == (Secret("a.b.c"), (b"leaf", b"root"))


def test_a_token_beside_a_certificate_is_asked_for() -> None:
    """The user `bound-token` sends a password; the chain goes with it."""
    leg = login()
    leg.receive(SSL_REQUEST)
    leg.tls_started((b"leaf", b"root"))
    leg.receive(startup(user=BOUND_USER, database="orders"))
    proof = proof_of(leg.receive(password(b"a.b.c"))).proof
    assert (proof.token, proof.certificates) == (Secret("a.b.c"), (b"leaf", b"root"))


def test_nothing_follows_a_startup_packet_that_is_enough() -> None:
    """What came behind it was written before the client knew who it is here."""
    leg = login()
    leg.receive(SSL_REQUEST)
    leg.tls_started((b"leaf",))
    with pytest.raises(ProtocolError, match="before the session was admitted"):
        leg.receive(startup(user="u", database="d") + b"Q")


def test_without_a_certificate_tls_is_declined() -> None:
    """The client decides whether it goes on in the clear."""
    assert login(tls=False).receive(SSL_REQUEST) == [Reply(b"N")]


def test_direct_tls_hands_its_first_bytes_over() -> None:
    """The first byte of a TLS handshake starts TLS, and no byte of it is lost."""
    assert login().receive(b"\x16\x03\x01rest") == [StartTls(Side.CLIENT, b"\x16\x03\x01rest")]


def test_bytes_stuffed_behind_an_ssl_request_are_refused() -> None:
    """CVE-2021-23222: they would be read as if they had come inside TLS."""
    with pytest.raises(ProtocolError, match="before it was answered"):
        login().receive(SSL_REQUEST + startup(user="u"))


@pytest.mark.parametrize("size", [b"\0\0\0\0", b"\0\0\0\7", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"])
def test_hostile_startup_lengths(size: bytes) -> None:
    """Refused by the length alone."""
    with pytest.raises(ProtocolError, match="startup packet of"):
        login().receive(size + b"\0\3\0\0")


def test_hostile_token_length() -> None:
    """A gigabyte of password is refused before a byte of it is kept."""
    leg = login()
    leg.receive(startup(user="u", database="d"))
    with pytest.raises(ProtocolError, match="expected the password"):
        leg.receive(b"p\x40\0\0\0")
    assert MAX_TOKEN < 1 << 20


@pytest.mark.parametrize("name", ["role", "search_path", "session_authorization", "options"])
def test_settings_that_change_meaning_are_refused(name: str) -> None:
    """They would pass policy by."""
    with pytest.raises(ProtocolError, match=name):
        login().receive(startup(0, user="u", database="d", **{name: "x"}))


def test_replication_is_refused() -> None:
    """A replication connection speaks another language."""
    with pytest.raises(ProtocolError, match="replication"):
        login().receive(startup(user="u", replication="database"))


@pytest.mark.parametrize("minor", [1, 3, 9999])
def test_unknown_minor_versions_are_negotiated(minor: int) -> None:
    """NegotiateProtocolVersion names the newest we speak below it."""
    effects = login().receive(startup(minor, user="u", database="d"))
    assert isinstance(effects[0], Reply)
    assert effects[0].data[:5] == b"v\0\0\0\x0c"
    assert effects[0].data[8] == (0 if minor == 1 else 2)


def test_unknown_protocol_options_are_listed() -> None:
    """The client learns which `_pq_.` options were not taken."""
    effects = login().receive(startup(0, user="u", **{"_pq_.shiny": "1"}))
    assert isinstance(effects[0], Reply)
    assert effects[0].data.endswith(b"\0\0\0\x01_pq_.shiny\0")


def test_oauthbearer() -> None:
    """SASL carries the token for clients that have a flow for it (RFC 7628)."""
    leg = login()
    (offer,) = leg.receive(startup(user=OAUTH_USER, database="d"))
    assert offer == Reply(b"R\0\0\0\x15\0\0\0\x0aOAUTHBEARER\0\0")
    response = b"n,,\x01auth=Bearer a.b.c\x01\x01"
    body = b"OAUTHBEARER\0" + len(response).to_bytes(4, "big") + response
    asked = proof_of(leg.receive(b"p" + (len(body) + 4).to_bytes(4, "big") + body))
    assert asked.proof.token == Secret("a.b.c")


def test_a_cancel_request_interrupts_and_says_nothing() -> None:
    """Whether the key was right is not told."""
    key = b"\0\0\0\7secretkey"
    data = (len(key) + 8).to_bytes(4, "big") + (80877102).to_bytes(4, "big") + key
    assert login().receive(data) == [Interrupt(Secret(key), 1)]


def test_an_empty_token_is_said_so() -> None:
    """A client without a token gets a sentence."""
    leg = login()
    leg.receive(startup(user="u", database="d"))
    reply, close = leg.receive(password(b""))
    assert isinstance(reply, Reply)
    assert b"no token came" in reply.data
    assert isinstance(close, Close)
