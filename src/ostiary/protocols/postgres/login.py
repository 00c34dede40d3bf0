"""From a client's first byte to its proof in hand: TLS, GSSENC, versions, cancel, two ways to send a token, or none.

A client whose certificate TLS verified is not asked for a token.

States, in order: FIRST → (TLS) → STARTUP → TOKEN → DONE. Everything is bounded: a startup packet by
`MAX_STARTUP`, a token message by `MAX_TOKEN`; the driver bounds the time.
"""

import hmac
from enum import Enum, auto

from ostiary.core import Proof, Refusal, RefusalKind, Secret
from ostiary.core.trace import traceparent
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.keys import worker_of
from ostiary.wire.contract import Authenticate, Close, Effect, Interrupt, ProtocolError, Reply, Side, StartTls

MAX_STARTUP = 10_000  # PostgreSQL's own MAX_STARTUP_PACKET_LENGTH
MAX_TOKEN = 65_536
TLS_HANDSHAKE = 0x16
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102
NEWEST_MINOR = 2

#: A startup user that asks for SASL OAUTHBEARER (RFC 7628) instead of the password message.
OAUTH_USER = "oauthbearer"
#: Asks to be asked for a token although it shows a certificate: the token is bound to that (RFC 8705).
BOUND_USER = "bound-token"
_CLEARTEXT = b"R\0\0\0\x08\0\0\0\x03"

#: Settings a client may bring in its startup packet. Others change what statements mean or who runs them
#: (`role`, `search_path`, `session_authorization`, `standard_conforming_strings`); `SET` goes through policy.
_CARRIED = {
    "application_name",
    "client_encoding",
    "datestyle",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "statement_timeout",
    "timezone",
}


class _State(Enum):
    FIRST = auto()
    TLS = auto()
    STARTUP = auto()
    TOKEN = auto()
    SASL = auto()
    DONE = auto()


class ClientLogin:
    """The client's leg until `Authenticate` was emitted.

    Args:
        source: the client's address, "ip:port".
        loopback: the client's address is a loopback one.
        tls_offered: the listener has a certificate.
        plaintext: a token may come without TLS.
    """

    def __init__(self, *, source: str, loopback: bool, tls_offered: bool, plaintext: bool) -> None:
        self._source = source
        self._loopback = loopback
        self._tls_offered = tls_offered
        self._plaintext = plaintext
        self._encrypted = False
        self._certificates: tuple[bytes, ...] = ()
        self._gss_asked = False
        self._state = _State.FIRST
        self._buffer = b""
        self.minor = 0
        #: Settings to carry upstream.
        self.settings: dict[str, str] = {}
        self._target = ""
        self._database = ""

    def tls_started(self, certificates: tuple[bytes, ...] = ()) -> None:
        """The driver finished the handshake of this leg, perhaps with a client certificate."""
        self._certificates = certificates
        self._encrypted = True
        self._state = _State.STARTUP

    def receive(self, data: bytes) -> list[Effect]:
        """Take bytes; raises ProtocolError."""
        self._buffer += data
        out: list[Effect] = []
        while self._state is not _State.DONE and self._step(out):
            pass
        if len(self._buffer) > MAX_TOKEN:
            raise ProtocolError("more than 64 KiB were sent before the session was admitted")
        return out

    def _step(self, out: list[Effect]) -> bool:
        if self._state is _State.TLS:
            return False
        if self._state in (_State.FIRST, _State.STARTUP):
            if self._state is _State.FIRST and self._buffer[:1] == bytes([TLS_HANDSHAKE]):
                return self._direct_tls(out)
            return self._startup(out)
        return self._token(out)

    def _direct_tls(self, out: list[Effect]) -> bool:
        if not self._tls_offered:
            raise ProtocolError("this listener has no certificate, TLS cannot be started")
        early, self._buffer = self._buffer, b""
        self._state = _State.TLS
        out.append(StartTls(Side.CLIENT, early))
        return False

    def _startup(self, out: list[Effect]) -> bool:
        if len(self._buffer) < 8:
            return False
        size = int.from_bytes(self._buffer[:4], "big")
        if size < 8 or size > MAX_STARTUP:
            raise ProtocolError(f"a startup packet of {size} bytes is not one of PostgreSQL's")
        if len(self._buffer) < size:
            return False
        code, body = int.from_bytes(self._buffer[4:8], "big"), self._buffer[8:size]
        self._buffer = self._buffer[size:]
        if code == CANCEL_REQUEST:
            self._state = _State.DONE
            valid = 8 <= len(body) <= 260
            out.append(Interrupt(Secret(body), worker_of(body)) if valid else Close("cancel request"))
            return False
        if code in (SSL_REQUEST, GSSENC_REQUEST):
            return self._encryption(code, body, out)
        if code >> 16 != 3:
            raise ProtocolError(f"protocol version {code >> 16}.{code & 0xFFFF} is not supported; use 3.0 or 3.2")
        if not self._encrypted and not self._plaintext:
            # Said before the token is asked for, so that it never crosses the wire in the clear.
            out += _refused("a token is not taken without TLS", "connect with sslmode=require or stronger")
            self._state = _State.DONE
            return False
        self._parameters(code & 0xFFFF, body, out)
        return True

    def _encryption(self, code: int, body: bytes, out: list[Effect]) -> bool:
        if body or self._encrypted:
            raise ProtocolError("an encryption request was malformed, or came inside TLS")
        if self._buffer:
            # Bytes sent before the answer would be read as if they had come inside TLS (CVE-2021-23222).
            raise ProtocolError("data followed an encryption request before it was answered")
        if code == GSSENC_REQUEST:
            if self._gss_asked:
                raise ProtocolError("GSS encryption was asked for twice")
            self._gss_asked = True
            out.append(Reply(b"N"))
        elif self._tls_offered:
            self._state = _State.TLS
            out += (Reply(b"S"), StartTls(Side.CLIENT))
        else:
            out.append(Reply(b"N"))
        return False

    def _parameters(self, minor: int, body: bytes, out: list[Effect]) -> None:
        parameters = _pairs(body)
        options = [name for name in parameters if name.startswith("_pq_.")]
        self.minor = NEWEST_MINOR if minor >= NEWEST_MINOR else 0
        if minor != self.minor or options:
            listed = b"".join(name.encode() + b"\0" for name in options)
            answer = (3 << 16 | self.minor).to_bytes(4, "big") + len(options).to_bytes(4, "big") + listed
            out.append(Reply(message(b"v", answer)))
        if parameters.get("replication", "false").lower() not in ("false", "off", "no", "0"):
            raise ProtocolError("replication connections are not permitted through the gateway")
        user = parameters.get("user", "")
        self._target, _, self._database = (parameters.get("database") or user).partition("/")
        for name, value in parameters.items():
            if name in ("user", "database", "replication") or name.startswith("_pq_."):
                continue
            if name.lower() not in _CARRIED:
                raise ProtocolError(
                    f'the startup setting "{name[:64]}" is not carried to the target; connect without it and use SET'
                )
            self.settings[name] = value
        if user == OAUTH_USER:
            self._state = _State.SASL
            names = b"OAUTHBEARER\0\0"
            out.append(Reply(b"R" + (len(names) + 8).to_bytes(4, "big") + b"\0\0\0\x0a" + names))
        elif self._certificates and user != BOUND_USER:
            # As PostgreSQL's `cert` method: no password is asked for.
            if self._buffer:
                raise ProtocolError("data followed the startup packet before the session was admitted")
            self._authenticate(b"", out)
        else:
            self._state = _State.TOKEN
            out.append(Reply(_CLEARTEXT))

    def _token(self, out: list[Effect]) -> bool:
        if len(self._buffer) < 5:
            return False
        size = int.from_bytes(self._buffer[1:5], "big")
        if self._buffer[:1] != b"p" or size < 5 or size > MAX_TOKEN:
            raise ProtocolError("expected the password message with the token")
        if len(self._buffer) < size + 1:
            return False
        body, self._buffer = self._buffer[5 : size + 1], self._buffer[size + 1 :]
        if self._buffer:
            raise ProtocolError("data followed the token before the session was admitted")
        token = self._sasl_token(body) if self._state is _State.SASL else body.removesuffix(b"\0")
        if not token or b"\0" in token:
            out += _refused("no token came in the password message", "send the token as the password")
            self._state = _State.DONE
        else:
            self._authenticate(token, out)
        return False

    def _authenticate(self, token: bytes, out: list[Effect]) -> None:
        proof = Proof(
            Secret(token),
            self._target,
            self._source,
            self._encrypted,
            self._loopback,
            self._certificates,
            trace=traceparent(self.settings.get("application_name", "")),
        )
        out.append(Authenticate(proof, self._database))
        self._state = _State.DONE

    @staticmethod
    def _sasl_token(body: bytes) -> bytes:
        name, _, rest = body.partition(b"\0")
        if not hmac.compare_digest(name, b"OAUTHBEARER") or len(rest) < 4:
            raise ProtocolError("the only SASL mechanism offered is OAUTHBEARER")
        size = int.from_bytes(rest[:4], "big")
        response = rest[4:]
        if size != len(response):
            raise ProtocolError("the SASL response has another length than it says")
        # RFC 7628 section 3.1: gs2-header kvsep *kvpair kvsep
        for pair in response.split(b"\x01")[1:]:
            key, _, value = pair.partition(b"=")
            if key == b"auth" and value[:7].lower() == b"bearer ":
                return value[7:].strip()
        return b""


def _refused(message: str, hint: str) -> list[Effect]:
    refusal = Refusal(RefusalKind.IDENTITY, message, hint)
    return [Reply(refuse.fatal(refusal)), Close(message)]


def _pairs(body: bytes) -> dict[str, str]:
    if body == b"\0":
        return {}
    if not body.endswith(b"\0\0"):
        raise ProtocolError("the startup packet's parameters do not end where they should")
    parts = body[:-2].split(b"\0")
    if len(parts) % 2:
        raise ProtocolError("the startup packet has a parameter without a value")
    try:
        names = [name.decode() for name in parts[::2]]
        values = [value.decode() for value in parts[1::2]]
    except UnicodeDecodeError:
        raise ProtocolError("the startup packet is not UTF-8") from None
    if len(set(names)) != len(names) or "" in names:
        raise ProtocolError("the startup packet names a parameter twice, or not at all")
    return dict(zip(names, values, strict=True))
