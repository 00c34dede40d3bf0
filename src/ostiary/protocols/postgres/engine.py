"""One PostgreSQL session, from the first byte to the last: three machines in a row.

LOGIN (`login.ClientLogin`) → admission by the gate → DIAL (`upstream.TargetLogin`) → RELAY (`relay.Relay`).
The client is told AuthenticationOk only when the target said ReadyForQuery, so a client that got in can work.
Invariant: the session permit exists from `Admitted` on, and no `Forward` is possible before.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from ostiary.core import Permit, Refusal, RefusalKind, Secret
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.catalog import CatalogCache
from ostiary.protocols.postgres.framing import Framer, message
from ostiary.protocols.postgres.keys import process_id
from ostiary.protocols.postgres.login import ClientLogin
from ostiary.protocols.postgres.relay import Relay
from ostiary.protocols.postgres.statements import Judge
from ostiary.protocols.postgres.upstream import TargetLogin, TargetRefusedError
from ostiary.sql import Analysis
from ostiary.wire.contract import (
    Admitted,
    AsideDone,
    Authenticate,
    Close,
    Closed,
    Connect,
    Connected,
    Effect,
    Event,
    Held,
    Interrupted,
    ProtocolError,
    Received,
    Reclassified,
    Register,
    Rejected,
    Released,
    Reply,
    Ruled,
    Side,
    TlsStarted,
    Weigh,
    Woke,
)

_AUTHENTICATION_OK = b"R\0\0\0\x08\0\0\0\0"
#: A parameter that never changes: repeating it keeps a waiting connection warm, and no client minds.
_CONSTANT = b"integer_datetimes\0"
_WAKES_BETWEEN_KEEP_WARM = 30


class PostgresEngine:
    """See the module.

    Args:
        source: the client's address, "ip:port".
        loopback: it is a loopback address.
        tls_offered: the listener has a certificate.
        plaintext: a token may come without TLS (the client is on loopback and the configuration says so).
        catalogs: shared snapshots.
        analyze: `ostiary.sql.analyze`.
        entropy: n random bytes.
        worker: see `wire.contract.Listening`.
    """

    def __init__(
        self,
        source: str,
        *,
        loopback: bool,
        tls_offered: bool,
        plaintext: bool,
        catalogs: CatalogCache,
        analyze: Callable[[str], Analysis],
        entropy: Callable[[int], bytes],
        worker: int = 0,
    ) -> None:
        self._login: ClientLogin | None = ClientLogin(
            source=source, loopback=loopback, tls_offered=tls_offered, plaintext=plaintext
        )
        self._minor = 0
        self._settings: dict[str, str] = {}
        self._catalogs = catalogs
        self._analyze = analyze
        self._entropy = entropy
        self._worker = worker
        self._database = ""
        self._permit: Permit | None = None
        self._dial: TargetLogin | None = None
        self._judge: Judge | None = None
        self._relay: Relay | None = None
        self._client_framer = Framer.of_client()
        self._target_framer: Framer | None = None
        self._wakes = 0
        self._keep_warm = b""

    @property
    def authenticated(self) -> bool:
        """See `wire.contract.Engine`."""
        return self._permit is not None

    @property
    def ready(self) -> bool:
        """See `wire.contract.Engine`."""
        return self._relay is not None

    def wants(self, side: Side) -> bool:
        """See `wire.contract.Engine`."""
        return self._relay.wants(side) if self._relay is not None else True

    def refuse(self, refusal: Refusal) -> list[Effect]:
        """See `wire.contract.Engine`."""
        return [Reply(refuse.fatal(refusal)), Close(refusal.message)]

    def handle(self, event: Event) -> list[Effect]:
        """See `wire.contract.Engine`."""
        match event:
            case Received(side, data):
                return self._from_client(data) if side is Side.CLIENT else self._from_target(data)
            case Ruled(action_id, ruling):
                return self._relay.ruled(action_id, ruling) if self._relay is not None else []
            case Released(_, result, clear):
                return self._relay.released(result, clear=clear) if self._relay is not None else []
            case Admitted():
                return self._admitted(event)
            case Rejected(refusal):
                return self.refuse(refusal)
            case Connected():
                return self._dial.connected() if self._dial is not None else []
            case TlsStarted(side, binding, certificates):
                return self._tls_started(side, binding, certificates)
            case Weigh(action_id):
                return self._relay.weigh(action_id) if self._relay is not None else []
            case AsideDone():
                return self._relay.aside_done() if self._relay is not None else []
            case Held(_, notice):
                return self._relay.held(notice) if self._relay is not None else []
            case Interrupted():
                return self._relay.interrupted() if self._relay is not None else []
            case Reclassified():
                return self._relay.reclassified() if self._relay is not None else []
            case Woke():
                return self._woke()
            case Closed(side):
                return self._closed(side)
            case _:
                assert_never(event)

    def _from_client(self, data: bytes) -> list[Effect]:
        if self._relay is not None:
            return self._relay.from_client(self._client_framer.feed(data))
        if self._login is None:
            raise ProtocolError("data came before the session was admitted")
        login = self._login
        effects = login.receive(data)
        for effect in effects:
            if isinstance(effect, Authenticate):
                self._database = effect.database
                self._minor, self._settings = login.minor, login.settings
                self._login = None
        return effects

    def _from_target(self, data: bytes) -> list[Effect]:
        if self._relay is not None:
            assert self._target_framer is not None
            try:
                frames = self._target_framer.feed(data)
            except ProtocolError as broken:
                return self._relay.broken(broken)
            return self._relay.from_target(frames)
        dial = self._dial
        if dial is None:
            raise ProtocolError("the target spoke before it was asked")
        try:
            effects = dial.receive(data)
            return effects if dial.ready is None else [*effects, *self._begin(dial)]
        except TargetRefusedError as refused:
            refusal = Refusal(RefusalKind.TARGET, str(refused), "check the gateway's configuration of the target")
        except ProtocolError as error:
            refusal = Refusal(RefusalKind.PROTOCOL, str(error), "check what answers at its address, then try again")
        return self.refuse(replace(refusal, message=f"login to target {dial.target.name} failed: {refusal.message}"))

    def _admitted(self, event: Admitted) -> list[Effect]:
        self._permit = event.permit
        database = self._database or event.target.database
        if database != event.target.database and database not in event.target.databases:
            what = f'target {event.target.name} does not open database "{database[:64]}"'
            return self.refuse(Refusal(RefusalKind.POLICY, what, "its `databases` must list it"))
        self._dial = TargetLogin(
            event.permit, event.target, event.lease, database, self._settings, self._minor, self._entropy
        )
        self._judge = Judge(event.target, database, self._catalogs, self._analyze)
        return [Connect()]

    def _tls_started(self, side: Side, binding: bytes | None, certificates: tuple[bytes, ...]) -> list[Effect]:
        if side is Side.CLIENT and self._login is not None:
            self._login.tls_started(certificates)
            return []
        return self._dial.tls_started(binding) if side is Side.TARGET and self._dial is not None else []

    def _begin(self, dial: TargetLogin) -> list[Effect]:
        """Both legs are ready: greet the client with a cancel key of our own."""
        assert self._permit is not None
        assert self._judge is not None
        self._relay = Relay(self._permit, self._judge, dial.cancel_key)
        self._target_framer = dial.framer
        for frame in dial.greeting:
            self._judge.parameter_status(frame)
            if frame.startswith(_CONSTANT, 5):
                self._keep_warm = frame
        secret = self._entropy(4 if self._minor == 0 else 32)
        key = process_id(self._entropy(4), self._worker) + secret
        greeting = [_AUTHENTICATION_OK, *dial.greeting, message(b"K", key)]
        self._dial = None
        return [Register(Secret(key)), Reply(b"".join(greeting) + (dial.ready or b"")), *self._relay.from_client([])]

    def _woke(self) -> list[Effect]:
        self._wakes += 1
        return [Reply(self._keep_warm)] if self._keep_warm and self._wakes % _WAKES_BETWEEN_KEEP_WARM == 0 else []

    def _closed(self, side: Side) -> list[Effect]:
        if side is Side.CLIENT:
            return [Close("the client went away")]
        if self._dial is not None:
            what = f"target {self._dial.target.name} closed the connection during the login"
            return self.refuse(Refusal(RefusalKind.TARGET, what, "check what answers at its address, then try again"))
        return self.refuse(Refusal(RefusalKind.TARGET, "the target closed the connection", "connect again"))
