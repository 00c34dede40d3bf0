"""The target's leg from the open transport to ReadyForQuery: TLS, startup, authentication.

Everything is bounded: one message by `MAX_LOGIN_MESSAGE`, all of them by `MAX_LOGIN` and `MAX_LOGIN_MESSAGES`, each
authentication message by the one before it; the driver bounds the time.
"""

from collections.abc import Callable
from enum import Enum, auto

from ostiary.core import Lease, Permit, Secret, Target, TlsMode
from ostiary.protocols.postgres.framing import MAX_MESSAGE, STARTTLS, Framer, message
from ostiary.protocols.postgres.results import fields_of
from ostiary.protocols.postgres.scram import ScramClient, md5_password
from ostiary.wire.contract import Effect, Forward, ProtocolError, Side, StartTls

MAX_LOGIN_MESSAGE = 64 << 10
MAX_LOGIN = 1 << 20
MAX_LOGIN_MESSAGES = 1000

#: Authentication requests that may follow one another (PostgreSQL protocol, section "Start-up"): a method is begun
#: once, and ends in AuthenticationOk.
_BEGINS = (0, 3, 5, 10)
_FOLLOWS = {0: (), 3: (0,), 5: (0,), 10: (11,), 11: (12,), 12: (0,)}
_METHODS = {2: "Kerberos V5", 7: "GSSAPI", 9: "SSPI"}


class TargetRefusedError(Exception):
    """The target refused the login; the message is safe to show."""


class _State(Enum):
    TLS_ANSWER = auto()
    TLS = auto()
    AUTHENTICATION = auto()
    PARAMETERS = auto()
    READY = auto()


class TargetLogin:
    """One login. Keeps what the client is to be told afterwards: parameters and notices.

    Args:
        settings: startup settings of the client that are carried over.
        minor: protocol minor version the client speaks; the same is asked of the target.
        entropy: n random bytes.
    """

    def __init__(
        self,
        permit: Permit,
        target: Target,
        lease: Lease,
        database: str,
        settings: dict[str, str],
        minor: int,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._permit = permit
        self.target = target
        self._lease = lease
        self._database = database
        self._settings = settings
        self._minor = minor
        self._entropy = entropy
        self.framer = Framer.of_target(MAX_LOGIN_MESSAGE)
        self._bytes = 0
        self._messages = 0
        self._state = _State.TLS_ANSWER
        self._binding: bytes | None = None
        self._encrypted = False
        self._scram: ScramClient | None = None
        self._next: tuple[int, ...] = _BEGINS
        self._authenticated = False
        #: ParameterStatus frames, in order. Notices of a login are not the client's business.
        self.greeting: list[bytes] = []
        self.cancel_key: Secret | None = None
        self.ready: bytes | None = None

    def connected(self) -> list[Effect]:
        """The transport is up."""
        if self.target.tls.mode is TlsMode.DISABLE:
            return self._startup()
        return [Forward(self._permit, STARTTLS[0])]

    def tls_started(self, binding: bytes | None) -> list[Effect]:
        """TLS is up on this leg."""
        self._binding = binding
        self._encrypted = True
        return self._startup()

    def receive(self, data: bytes) -> list[Effect]:
        """Bytes of the target. Raises ProtocolError or TargetRefusedError."""
        if self._state is _State.TLS_ANSWER:
            return self._tls_answer(data)
        if self._state is _State.TLS:
            raise ProtocolError("the target sent data before TLS was up")
        out: list[Effect] = []
        for kind, frame, count in self.framer.feed(data):
            self._bytes += len(frame)
            self._messages += count
            if self._bytes > MAX_LOGIN or self._messages > MAX_LOGIN_MESSAGES:
                raise ProtocolError("the target sends messages without end during the login")
            if self._state is _State.READY:
                raise ProtocolError("the target sent something after ReadyForQuery that nothing asked for")
            self._message(chr(kind), frame, out)
        return out

    def _tls_answer(self, data: bytes) -> list[Effect]:
        if data != STARTTLS[1]:
            # Anything behind the S would be read as if it had come inside TLS (CVE-2021-23222).
            raise TargetRefusedError("the target does not offer TLS, and its configuration here requires it")
        self._state = _State.TLS
        return [StartTls(Side.TARGET)]

    def _startup(self) -> list[Effect]:
        self._state = _State.AUTHENTICATION
        parameters = {"user": self._lease.username, "database": self._database, **self._settings}
        parameters.setdefault("client_encoding", "UTF8")
        body = b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
        version = (3 << 16 | self._minor).to_bytes(4, "big")
        return [Forward(self._permit, (len(body) + 8).to_bytes(4, "big") + version + body)]

    def _message(self, kind: str, frame: bytes, out: list[Effect]) -> None:
        match kind:
            case "R":
                self._authentication(frame, out)
            case "E":
                raise TargetRefusedError(f"the target says: {_code_and_text(frame)}")
            case "v" if self._state is _State.AUTHENTICATION:
                return  # an older target settles for 3.0; keys and messages then are those of 3.0
            case "N":
                return
            case "S" if self._authenticated:
                self.greeting.append(frame)
            case "K" if self._authenticated and 8 <= len(frame) - 5 <= 260:
                self.cancel_key = Secret(frame[5:])
            case "Z" if self._authenticated and len(frame) == 6:
                self._state = _State.READY
                self.ready = frame
                self.framer.limit = MAX_MESSAGE
            case _:
                raise ProtocolError(f"the target sent a message of type {kind!r} during the login")

    def _authentication(self, frame: bytes, out: list[Effect]) -> None:
        if len(frame) < 9:
            raise ProtocolError("the target sent an authentication message without a method")
        method, body = int.from_bytes(frame[5:9], "big"), frame[9:]
        if method not in _FOLLOWS:
            named = _METHODS.get(method, str(method))
            raise TargetRefusedError(f"the target asks for authentication method {named}, which is not supported")
        if method not in self._next:
            raise ProtocolError(f"the target sent an authentication message of method {method} out of place")
        self._next = _FOLLOWS[method]
        match method:
            case 0:
                self._authenticated = True
            case 3:
                if not self._encrypted and self.target.tls.mode is not TlsMode.DISABLE:
                    raise ProtocolError("the target asks for a password in the clear")
                self._answer(self._password().reveal() + b"\0", out)
            case 5:
                if len(body) != 4:
                    raise ProtocolError("the target's md5 salt is not 4 bytes")
                self._answer(md5_password(self._lease.username, self._password(), body) + b"\0", out)
            case 10:
                self._sasl(body.split(b"\0"), out)
            case 11:
                self._answer(self._exchange().final(body), out)
            case _:
                self._exchange().verify(body)

    def _sasl(self, mechanisms: list[bytes], out: list[Effect]) -> None:
        plus = b"SCRAM-SHA-256-PLUS" in mechanisms and self._binding is not None
        if not plus and b"SCRAM-SHA-256" not in mechanisms:
            raise TargetRefusedError("the target offers no SASL mechanism that is supported (SCRAM-SHA-256, -PLUS)")
        # RFC 5802 section 6: `y` says that we could have bound the channel; a target that does offer -PLUS
        # then notices that someone took it out of the list.
        self._scram = ScramClient(
            self._password(),
            self._entropy(18),
            self._binding if plus else None,
            tls_without_plus=self._binding is not None and not plus,
        )
        name = b"SCRAM-SHA-256-PLUS" if plus else b"SCRAM-SHA-256"
        first = self._scram.first()
        self._answer(name + b"\0" + len(first).to_bytes(4, "big") + first, out)

    def _exchange(self) -> ScramClient:
        assert self._scram is not None  # method 10 made it, and nothing else leads to 11 and 12
        return self._scram

    def _password(self) -> Secret:
        if self._lease.password is None:
            raise TargetRefusedError("the target asks for a password, and its credential here has none")
        return self._lease.password

    def _answer(self, body: bytes, out: list[Effect]) -> None:
        out.append(Forward(self._permit, message(b"p", body)))


def _code_and_text(frame: bytes) -> str:
    names, cells = fields_of(frame)
    found = dict(zip(names, cells, strict=True))
    text = (found.get("M") or b"").decode("utf-8", "replace")[:200]
    return f"{text} ({(found.get('C') or b'').decode('ascii', 'replace')})"
