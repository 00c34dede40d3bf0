"""The session driver: carries out an engine's effects. One per client connection; protocol-agnostic.

Everything here is a synchronous callback; a task exists only while a person, a credential or a connect is awaited.
Whatever raises ends the session with a sentence in the client's own protocol.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, assert_never

import structlog

from ostiary.core import Permit, Refusal, RefusalKind
from ostiary.gate.attempts import Attempt
from ostiary.gate.gate import Gate, GateSession, Hold
from ostiary.runtime import waits
from ostiary.runtime.dial import target_context
from ostiary.runtime.interrupts import Interrupts
from ostiary.runtime.leg import Leg
from ostiary.runtime.tls import TlsPump
from ostiary.wire.contract import (
    Admitted,
    Ask,
    Authenticate,
    Close,
    Closed,
    Connect,
    Connected,
    Effect,
    Engine,
    Event,
    Forward,
    ForwardAside,
    Interrupt,
    Observe,
    ProtocolError,
    Reclassified,
    Register,
    Release,
    Released,
    Reply,
    Ruled,
    Side,
    StartTls,
    Weigh,
    Weighed,
    Withdraw,
    Woke,
)

log = structlog.get_logger()

_Rare = Authenticate | Connect | StartTls | Weighed | Withdraw | ForwardAside | Register | Interrupt | Close

#: Seconds a client has from its first byte to a valid token.
HANDSHAKE_SECONDS = 20.0
#: Seconds a target has, once it is connected to, until the session may begin.
LOGIN_SECONDS = 10.0


class SessionDriver:
    """Drives one engine between two legs."""

    def __init__(
        self,
        gate: Gate,
        make_engine: Callable[[str, bool], Engine],
        interrupts: Interrupts,
        tls: ssl.SSLContext | None,
        turn_away: Callable[[Refusal], bytes],
        ended: Callable[["SessionDriver"], None],
        attempt: Attempt,
    ) -> None:
        #: To log in: settled once, at the latest with the session's end.
        self.attempt = attempt
        self._gate = gate
        self._make_engine = make_engine
        self._turn_away = turn_away
        self._interrupts = interrupts
        self._tls_context = tls
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._client: Leg | None = None
        self._target: Leg | None = None
        self._engine: Engine | None = None
        self._session: GateSession | None = None
        self._queue: deque[Effect] = deque()
        #: What the effects of one event have for each leg.
        self._to_target: list[bytes] = []
        self._to_client: list[bytes] = []
        self._running = False
        self._closing = False
        #: Why it ended.
        self.reason = "the client went away"
        #: Which legs are read.
        self._reads_client = self._reads_target = True
        #: Each takes a bounded time, and gives back what it got when the session is over by then.
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        #: Holds whose estimate is being asked for, and those that wait for a person.
        self._weighing: dict[int, Hold] = {}
        self._holds: dict[int, asyncio.Task[None]] = {}
        self._keys: list[bytes] = []
        self._timers: list[asyncio.TimerHandle] = []
        #: Set by the listener when there is no room for another session.
        self.overloaded = False
        self.finished = asyncio.Event()

    @property
    def session(self) -> GateSession | None:
        """What the gate admitted; None before that, and once it is ending."""
        return None if self._closing else self._session

    @property
    def holds(self) -> int:
        """Statements that wait for a person."""
        return len(self._holds)

    @property
    def source(self) -> str:
        """Address of the client, "ip:port"; "" before it is known."""
        if self._client is None:
            return ""
        host, port = self._client.peer
        return f"{host}:{port}"

    # ------------------------------------------------------------ events in

    def client_connected(self, leg: Leg) -> None:
        """A client's socket was accepted."""
        if self._closing:
            leg.abort()
            return
        self._client = leg
        if self.overloaded:
            self.attempt.excused()
            self.stop(Refusal(RefusalKind.CAPACITY, "the gateway has as many sessions as it takes", "try again later"))
            return
        host, port = leg.peer
        loopback = host.startswith("127.") or host == "::1"
        try:
            self._engine = self._make_engine(f"{host}:{port}", loopback)
        except Exception as error:  # noqa: BLE001 - told to the client and logged
            self.failed(error)
            return
        self._timers.append(self._loop.call_later(HANDSHAKE_SECONDS, self._handshake_overdue))

    def event(self, event: Event) -> None:
        """Give the engine an event and carry out what follows."""
        engine = self._engine
        if engine is None or self._closing:
            return
        try:
            self._queue.extend(engine.handle(event))
            if not self._running:
                self._carry_out()
        except ProtocolError as error:
            self.stop(Refusal(RefusalKind.PROTOCOL, str(error), "the connection is closed"))
        except Exception as fault:  # noqa: BLE001 - whatever it is, it ends the session with a sentence
            self.failed(fault)

    def failed(self, error: BaseException) -> None:
        """The gateway's own fault ends the session."""
        log.error("session_failed", session=self._session_id, exc_info=error)
        what = f"the gateway failed inside ({type(error).__name__}); the connection is closed"
        self.stop(Refusal(RefusalKind.INTERNAL, what, "the gateway's log has the details"))

    def lost(self, side: Side) -> None:
        """A leg closed."""
        if self._closing:
            return
        self.event(Closed(side))
        self._finish("the client went away" if side is Side.CLIENT else "the target closed the connection")

    def broken(self, side: Side, why: str) -> None:
        """A leg broke in a way that leaves nothing to say on it."""
        if side is Side.TARGET:
            self.stop(Refusal(RefusalKind.TARGET, f"the connection to the target failed: {why}", "try again later"))
        else:
            self._finish(why)

    def stop(self, refusal: Refusal) -> None:
        """End the session with a sentence in the client's protocol."""
        if self._closing:
            return
        # What was permitted and not yet sent stays here.
        self._to_target.clear()
        try:
            if self._engine is None:
                self._to_client.append(self._turn_away(refusal))
            else:
                self._to_client += [e.data for e in self._engine.refuse(refusal) if isinstance(e, Reply)]
        except Exception:
            log.exception("a refusal could not be said", why=refusal.message)
        self._finish(refusal.message)

    def shut_down(self) -> None:
        """The gateway stops."""
        self.attempt.excused()
        self.stop(Refusal(RefusalKind.EXPIRED, "the gateway is stopping", "connect again"))

    def tick(self) -> None:
        """Called about once a second: flush what waits for the recorder, wake the engine."""
        if self._session is None or self._closing:
            return
        try:
            self._session.flush()
        except Exception as error:  # noqa: BLE001 - a session that can't be recorded ends
            self.stop(Refusal(RefusalKind.RECORDING, f"the recording failed ({type(error).__name__})", "try again"))
            return
        if self._holds:
            self.event(Woke())

    def reclassified(self) -> None:
        """What must be masked has changed: no row that comes from now on passes as it would have before."""
        session = self.session
        if session is not None:
            refusal = session.reclassified()
            if refusal is None:
                self.event(Reclassified())
            else:
                self.stop(refusal)

    def balance(self) -> None:
        """Back-pressure, end to end: read a side only while the engine wants it and the other side drains."""
        if self._engine is None or self._closing:
            return
        client, target = self._client, self._target
        if client is not None:
            wanted = self._engine.wants(Side.CLIENT) and not (target is not None and target.congested)
            if wanted is not self._reads_client:
                self._reads_client = wanted
                client.read(wanted)
        if target is not None:
            wanted = self._engine.wants(Side.TARGET) and not (client is not None and client.congested)
            if wanted is not self._reads_target:
                self._reads_target = wanted
                target.read(wanted)

    # ------------------------------------------------------------ effects out

    def _carry_out(self) -> None:
        self._running = True
        try:
            while self._queue and not self._closing:
                self._effect(self._queue.popleft())
        finally:
            self._running = False
        self._write()
        self.balance()

    def _effect(self, effect: Effect) -> None:
        """Carry out one effect; those of every command come first."""
        if isinstance(effect, Forward):
            self._forward(effect.permit, effect.data)
        elif isinstance(effect, Reply):
            self._to_client.append(effect.data)
        elif isinstance(effect, Ask):
            self._ask(effect)
        elif isinstance(effect, Release):
            answer, clear = self._admitted().release(effect.action_id, effect.result)
            self.event(Released(effect.action_id, answer, clear))
        elif isinstance(effect, Observe):
            self._admitted().observe(effect.action_id, effect.outcome)
        else:
            self._rare(effect)

    def _rare(self, effect: _Rare) -> None:
        match effect:
            case Authenticate(proof):
                self._spawn(waits.authenticate(self, self._gate, proof))
            case Connect():
                self._spawn(waits.connect(self, self._admitted().target))
            case StartTls(side, early):
                self._write()
                self._start_tls(side, early)
            case ForwardAside(permit, data, starttls):
                self._check(permit)
                self._spawn(waits.aside(self, self._admitted().target, data, starttls))
            case Weighed(action_id, rows):
                hold = self._weighing.pop(action_id, None)
                if hold is not None:
                    self._holds[action_id] = self._spawn(waits.hold(self, self._admitted(), hold.weighing(rows)))
            case Withdraw(action_id, reason):
                self._withdraw(action_id, reason)
            case Register(key):
                self._keys.append(key.reveal())
                self._interrupts.register(key.reveal(), self)
            case Interrupt(key, worker):
                elsewhere = self._interrupts.elsewhere
                known = self._interrupts.interrupt(key.reveal())
                if known or elsewhere is None:
                    self.interrupted(known)
                else:
                    self._spawn(waits.interrupt(self, elsewhere(worker, key.reveal())))
            case Close(reason):
                self._finish(reason)
            case _:
                assert_never(effect)

    @property
    def _session_id(self) -> str:
        return self._session.session_id if self._session is not None else ""

    def _admitted(self) -> GateSession:
        if self._session is None:
            raise ProtocolError("the engine went on before the gate admitted the session")
        return self._session

    def _check(self, permit: Permit) -> None:
        if permit.session_id != self._admitted().session_id:
            raise ProtocolError("a permit of another session was presented")

    def _forward(self, permit: Permit, data: bytes) -> None:
        session = self._admitted()
        self._check(permit)
        if permit.action_id is not None and permit.version != session.version:
            renewed = session.renew(permit)
            if isinstance(renewed, Refusal):
                self.stop(renewed)
                return
        self._to_target.append(data)

    def _write(self) -> None:
        """One write a leg for everything that one event led to: a system call costs more than most events."""
        if self._to_target:
            if self._target is not None:
                data = b"".join(self._to_target)
                self._admitted().tally.to_target += len(data)
                self._target.write(data)
            self._to_target.clear()
        if self._to_client:
            if self._client is not None:
                data = b"".join(self._to_client)
                if self._session is not None:
                    self._session.tally.to_client += len(data)
                self._client.write(data)
            self._to_client.clear()

    def _ask(self, ask: Ask) -> None:
        answer = self._admitted().judge(ask.action_id, ask.action, ask.stage)
        if isinstance(answer, Hold):
            self._weighing[ask.action_id] = answer
            self.event(Weigh(ask.action_id))
        else:
            self.event(Ruled(ask.action_id, answer))

    def _withdraw(self, action_id: int, reason: str) -> None:
        hold = self._weighing.pop(action_id, None)
        if hold is not None:
            self._admitted().abandon(hold, reason)
        task = self._holds.pop(action_id, None)
        if task is not None:
            task.cancel(reason)

    def _start_tls(self, side: Side, early: bytes) -> None:
        if side is Side.CLIENT:
            if self._tls_context is None or self._client is None:
                raise ProtocolError("this listener has no certificate")
            self._client.start_tls(TlsPump(self._tls_context, server_side=True), early)
        elif self._target is not None:
            target = self._admitted().target
            pump = TlsPump(target_context(target.tls), server_side=False, server_hostname=target.host)
            self._target.start_tls(pump, early)

    # ------------------------------------------------------------ what may take time

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spent)
        return task

    def _spent(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed(error)

    def admitted(self, session: GateSession) -> bool:
        """The gate lets the session in; False when it is over by now."""
        self.attempt.proven()
        if self._closing:
            return False
        self._session = session
        self._watch(session)
        self.event(Admitted(session.permit, session.target, session.lease))
        return True

    def connected(self, leg: Leg) -> None:
        """The transport to the target is up."""
        self._target = leg
        if self._closing:
            leg.abort()
            return
        self._timers.append(self._loop.call_later(LOGIN_SECONDS, self._login_overdue))
        self.event(Connected())

    def ruled(self, action_id: int, answer: Permit | Refusal) -> None:
        """Nobody is waited for any more."""
        self._holds.pop(action_id, None)
        self.event(Ruled(action_id, answer))

    def interrupted(self, known: bool) -> None:
        """A key was presented: was it one? Guesses are failed attempts."""
        if known:
            self.attempt.excused()
        self._finish("cancel request")

    # ------------------------------------------------------------ the end

    def _handshake_overdue(self) -> None:
        if self._engine is not None and not self._engine.authenticated:
            self.stop(Refusal(RefusalKind.PROTOCOL, "no token came in time", "connect again and send it at once"))

    def _login_overdue(self) -> None:
        if self._engine is not None and not self._engine.ready:
            why = f"target {self._admitted().target.name} did not finish the login within {LOGIN_SECONDS:g} s"
            self.stop(Refusal(RefusalKind.TARGET, why, "check what answers at its address, then try again"))

    def _watch(self, session: GateSession) -> None:
        """Look again when the session's time is over: a timer may come early, and knows no more than a day."""
        left = session.principal.session_until - self._gate.now()
        self._timers.append(self._loop.call_later(min(max(left, 0.01), 86400.0), self._expire))

    def _expire(self) -> None:
        session = self._session
        if session is None or self._closing:
            return
        refusal = session.expired()
        if refusal is not None:
            self.stop(refusal)
        else:
            self._watch(session)

    def _finish(self, reason: str) -> None:
        """The one way out of a session.

        The ending is on its way before anything else is tried: whatever fails here or there, `_over` comes.
        """
        if self._closing:
            return
        self._closing = True
        self.reason = reason
        self.attempt.failed()
        self._ending = self._loop.create_task(waits.end(self, self._session, reason, self._tasks))
        self._ending.add_done_callback(self._over)
        for timer in self._timers:
            timer.cancel()
        for key in self._keys:
            self._interrupts.forget(key)
        for task in self._holds.values():
            task.cancel()
        for hold in self._weighing.values():
            self._admitted().abandon(hold, reason)
        if self._client is not None:
            self._client.close(b"".join(self._to_client))
            # Said: whoever called goes on to write what is left.
            self._to_client.clear()
        if self._target is not None:
            self._target.close(b"".join(self._to_target))
            self._to_target.clear()

    def _over(self, ending: asyncio.Task[None]) -> None:
        if not ending.cancelled() and (error := ending.exception()) is not None:
            log.error("session_end_failed", session=self._session_id, exc_info=error)
        self.abort()
        self._ended(self)
        self.finished.set()

    def abort(self) -> None:
        """Close both legs now."""
        for leg in (self._client, self._target):
            if leg is not None:
                leg.abort()
