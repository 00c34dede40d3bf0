"""Client to target: every message is taken in order, judged where it decides something, and leaves a slot behind.

A refusal is a failed statement. When the server may hold an open transaction, explicit or the implicit one of a
pipeline, a message that must fail goes up in the refused one's place and the client sees the refusal instead of the
server's own error; both sides then agree on the status. When nothing is open, the answer is given here and nothing
goes up at all.
"""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace

from ostiary.core import Action, Permit, Refusal, RefusalKind, Stage
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.framing import STARTTLS, Frame, message
from ostiary.protocols.postgres.placing import Placing, inside
from ostiary.protocols.postgres.results import message_of
from ostiary.protocols.postgres.shapes import SessionShape
from ostiary.protocols.postgres.state import (
    IDLE,
    Asking,
    Exchange,
    Expect,
    Portal,
    Prepared,
    Running,
    Slot,
)
from ostiary.protocols.postgres.statements import UnknownStatementError
from ostiary.sql import UnparsableError
from ostiary.wire.contract import Ask, Forward, ForwardAside, ProtocolError

#: Refused statements are replaced by these: a syntax error in every version, whatever the settings.
POISON_QUERY = message(b"Q", b"denied by ostiary\0")
POISON_PARSE = message(b"P", b"\0denied by ostiary\0\0\0")

MAX_INBOX_BYTES = 4 << 20
MAX_SLOTS = 2048
MAX_NAMES = 4096
#: NAMEDATALEN - 1: a server knows a name by its first bytes only, so longer ones could stand for one another.
MAX_NAME = 63
_PORTAL = ord("P")
_DATA = frozenset(b"dcf")


class Requests:
    """See the module."""

    def __init__(self, exchange: Exchange) -> None:
        self._x = exchange
        self._inbox: deque[Frame] = deque()
        self._inbox_bytes = 0
        self._next_action = 1
        #: A cancel is on its way to the target: what would run next must not be hit by it.
        self._cancelling = False
        self._placing = Placing(exchange, lambda kind, frame: self._take[kind](kind, frame))
        self._take: dict[int, Callable[[int, bytes], None]] = {
            ord("Q"): self._query,
            ord("P"): self._parse,
            ord("B"): self._bind,
            ord("D"): self._describe,
            ord("E"): self._execute,
            ord("C"): self._close,
            ord("S"): self._sync,
            ord("H"): self._flush,
            ord("F"): self._function,
            ord("d"): self._copy_data,
            ord("c"): self._copy_data,
            ord("f"): self._copy_data,
            ord("X"): self._terminate,
        }

    @property
    def wanted(self) -> bool:
        """False while the queues are full."""
        return self._inbox_bytes < MAX_INBOX_BYTES and len(self._x.slots) < MAX_SLOTS

    def receive(self, frames: list[Frame]) -> None:
        """Whole messages from the client."""
        self._inbox.extend(frames)
        for frame in frames:
            self._inbox_bytes += len(frame[1])

    def advance(self) -> None:
        """Take messages until one must wait."""
        x = self._x
        inbox = self._inbox
        while inbox and x.asking is None and not self._cancelling and len(x.slots) < MAX_SLOTS:
            kind, frame, _ = inbox[0]
            if x.slots and self._must_wait(kind, frame):
                if x.unflushed:
                    # The server keeps answers back inside a pipeline; ours is the only message that will come now.
                    x.flush()
                return
            if kind in b"QPBF" and x.judge.stale and x.quiet and x.status != ord("E") and not x.skipping:
                self._read_catalog(kind)
                return
            inbox.popleft()
            self._inbox_bytes -= len(frame)
            if x.skipping and kind not in b"SX":
                continue
            take = self._take.get(kind)
            if take is None:
                raise ProtocolError(f"a message of type {chr(kind)!r} has no place in the query phase")
            take(kind, frame)

    def ruled(self, action_id: int, answer: Permit | Refusal) -> None:
        """The answer to an `Ask`."""
        asking = self._x.asking
        if asking is None or asking.action_id != action_id:
            raise ProtocolError("a ruling came for an action that was not asked about")
        self._x.asking = None
        if isinstance(answer, Refusal):
            self.refuse(asking.kind, refuse.error(answer))
        else:
            self._permitted(asking, answer)

    def interrupted(self) -> None:
        """A valid CancelRequest came for this session."""
        x = self._x
        asking = x.withdraw("the client cancelled it")
        if asking is not None:
            self.refuse(asking.kind, refuse.cancelled())
        elif x.slots and x.cancel_key is not None and not self._cancelling:
            self._cancelling = True
            x.effects.append(
                ForwardAside(x.permit, message(b"", (80877102).to_bytes(4, "big") + x.cancel_key.reveal()), STARTTLS)
            )

    def aside_done(self) -> None:
        """The target has taken the cancel request: whatever it hit has begun before."""
        self._cancelling = False

    def refuse(self, kind: int, answer: bytes) -> None:
        """Fail the message as the server would; see the module."""
        x = self._x
        simple = kind in b"QF"
        if x.quiet and x.status == IDLE:
            x.out.append(answer)
            if simple:
                x.out.append(message(b"Z", bytes([x.status])))
            else:
                x.skipping = True
        elif simple:
            x.forward(x.permit, POISON_QUERY, Slot(Expect.POISON_QUERY, substitute=answer))
            x.dirty = False
        else:
            x.statements.pop("", None)
            x.forward(x.permit, POISON_PARSE, Slot(Expect.POISON_PARSE, substitute=answer))
            x.skipping = True

    # ------------------------------------------------------------ waiting

    def _must_wait(self, kind: int, frame: bytes) -> bool:
        x = self._x
        if x.slots[-1].expect in (Expect.OWN_QUERY, Expect.OWN_STEP):
            return True
        if kind in _DATA:
            # Until the target answers, nobody can tell whether this is data of a COPY or noise after an error.
            return x.copy_in is None
        if kind == ord("B"):
            # What a name means is what the server will take it to mean: a Parse that is not confirmed is relied on
            # only inside its own segment, where an error skips both.
            prepared = x.statements.get(_second_string(frame))
            return prepared is not None and not prepared.confirmed and prepared.segment != x.segment
        # Behind a statement that changes what later ones mean, those wait.
        return kind in b"QPF" and any(
            slot.running is not None and bool(slot.running.action.shape.context.get("barrier")) for slot in x.slots
        )

    def _read_catalog(self, kind: int) -> None:
        x = self._x
        query = x.judge.catalog_query.encode() + b"\0"
        if kind in b"PB" and "" in x.statements:
            # A simple query would destroy the unnamed statement, which a Bind may want.
            inside(x, query, x.judge.learn, on_behalf=False)
            return
        x.forward(x.permit, message(b"Q", query), Slot(Expect.OWN_QUERY, answer=x.judge.learn))
        x.dirty = False

    # ------------------------------------------------------------ statements

    def _ask(self, asking: Asking, stage: Stage) -> None:
        self._x.asking = asking
        self._x.effects.append(Ask(asking.action_id, asking.action, stage))

    def _action_id(self) -> int:
        self._next_action += 1
        return self._next_action - 1

    def _judged(self, kind: int, text: str, frame: bytes) -> Action | None:
        """The action of a text; one that can't be made out is a refusal, never an exception.

        None too when the target is asked something first: the message is taken again then.
        """
        try:
            action = self._x.judge.statement(text)
        except UnknownStatementError as unknown:
            self.refuse(kind, refuse.coded("26000", str(unknown)))
            return None
        except UnparsableError as unparsable:
            self.refuse(kind, refuse.coded("42601", f"refused: {unparsable}"))
            return None
        except ValueError as error:
            refusal = Refusal(RefusalKind.POLICY, f"refused: {error}", "nothing of it was run")
        except Exception as fault:  # noqa: BLE001 - a fault in the analysis is this statement's refusal, no more
            what = f"refused: what this statement does could not be made out ({type(fault).__name__})"
            refusal = Refusal(RefusalKind.INTERNAL, what, "nothing of it was run; report it as a bug")
        else:
            waits = not self._maskable(kind, action) or self._placing.asks(kind, frame, action, self._next_action)
            return None if waits else action
        self.refuse(kind, refuse.error(refusal))
        return None

    def _maskable(self, kind: int, action: Action) -> bool:
        """Refuses a COPY whose rows could not be masked: once they come it is too late."""
        shape = action.shape
        if self._x.permit.release and isinstance(shape, SessionShape):
            for copied in shape.copies:
                options = copied.options
                # Halves of another encoding's characters look like delimiters and escapes.
                problem = copied.problem if options is None else "" if options.binary else self._x.judge.copy_problem()
                if problem:
                    refusal = Refusal(RefusalKind.MASKING, f"refused: {problem}", "nothing of it was run")
                    self.refuse(kind, refuse.error(refusal))
                    return False
        return True

    def _query(self, kind: int, frame: bytes) -> None:
        action = self._judged(kind, message_of(frame, 0), frame)
        if action is not None:
            self._ask(Asking(self._action_id(), action, frame, kind), Stage.RUN)

    def _parse(self, kind: int, frame: bytes) -> None:
        name, text = message_of(frame, 0), message_of(frame, 1)
        action = self._judged(kind, text, frame)
        if action is None:
            return
        if not self._nameable(kind, name, self._x.statements, "prepared statements"):
            return
        types = frame[5 + len(name.encode()) + 1 + len(text.encode()) + 1 :]
        action_id = self._action_id()
        prepared = Prepared(
            action, text, types, segment=self._x.segment, action_id=action_id, epoch=self._x.judge.epoch
        )
        self._ask(Asking(action_id, action, frame, kind, prepared, name), Stage.PREPARE)

    def _bind(self, kind: int, frame: bytes) -> None:
        x = self._x
        bind = x.judge.bind(frame)
        if not self._nameable(kind, bind.portal, x.portals, "portals"):
            return
        prepared = x.statements.get(bind.statement)
        if prepared is None or (bind.statement and x.judge.ambiguous(bind.statement)):
            # SQL PREPARE and the protocol share one namespace; what it may stand for is ruled on as EXECUTE.
            found = self._by_sql(kind, bind.statement)
            if found is None:
                return
            prepared = found
        judged: Action | None = prepared.action
        if isinstance(prepared.action.shape, SessionShape) or prepared.epoch != x.judge.epoch:
            # What it hangs on may be another's since it was parsed.
            judged = self._judged(kind, prepared.text, frame)
        if judged is None:
            return
        prepared.action, prepared.epoch = judged, x.judge.epoch
        action = x.judge.with_parameters(judged, bind.parameters, prepared.parameter_types)
        asking = Asking(self._action_id(), action, frame, kind, prepared, bind.portal, bind.formats, bind.parameters)
        self._ask(asking, Stage.RUN)

    def _nameable(self, kind: int, name: str, known: Collection[str], what: str) -> bool:
        if len(name.encode()) > MAX_NAME:
            refusal = Refusal(RefusalKind.PROTOCOL, f"refused: a name of {what} is longer than {MAX_NAME} bytes")
        elif len(known) >= MAX_NAMES and name not in known:
            refusal = Refusal(RefusalKind.PROTOCOL, f"more than {MAX_NAMES} {what}", "close some first")
        else:
            return True
        self.refuse(kind, refuse.error(refusal))
        return False

    def _by_sql(self, kind: int, name: str) -> Prepared | None:
        quoted = name.replace('"', '""')
        try:
            action = self._x.judge.statement(f'EXECUTE "{quoted}"')
        except ValueError:
            self.refuse(kind, refuse.coded("26000", f'prepared statement "{name[:64]}" does not exist'))
            return None
        return Prepared(action, action.text, confirmed=True, epoch=self._x.judge.epoch)

    def _function(self, kind: int, frame: bytes) -> None:
        action = self._x.judge.function_call(int.from_bytes(frame[5:9], "big"))
        self._ask(Asking(self._action_id(), action, frame, kind), Stage.RUN)

    def _permitted(self, asking: Asking, permit: Permit) -> None:
        x = self._x
        kind = asking.kind
        if kind == ord("P"):
            assert asking.prepared is not None
            x.statements[asking.name] = asking.prepared
            if asking.name:
                x.judge.remember_parse(asking.name, asking.prepared.text)
            x.forward(permit, asking.frame, Slot(Expect.PARSE, prepared=asking.prepared, name=asking.name))
            return
        if asking.action.shape.context.get("changes"):
            # From here until it ended, what the snapshot says may be wrong already.
            x.judge.doubt()
        running = Running(asking.action_id, asking.action, permit)
        x.open[asking.action_id] = running
        if kind == ord("E"):
            self._executed_anew(asking, running)
            return
        x.runs(asking.action, planned=kind == ord("B"))
        if kind == ord("Q"):
            # A simple query destroys the unnamed statement and portal (Message Flow, simple query).
            x.statements.pop("", None)
            x.portals.pop("", None)
            x.forward(permit, asking.frame, Slot(Expect.QUERY, running))
            x.unflushed = False
        elif kind == ord("B"):
            assert asking.prepared is not None
            portal = Portal(running, asking.prepared, asking.formats, ran=x.ran)
            replaced = x.portals.get(asking.name)
            if replaced is not None:
                x.abandon(replaced.running)
            x.portals[asking.name] = portal
            x.judge.bound(asking.name)
            if asking.name:
                x.judge.remember_portal(asking.name, asking.prepared.text)
            x.forward(permit, asking.frame, Slot(Expect.BIND, portal=portal))
        else:
            x.forward(permit, asking.frame, Slot(Expect.FUNCTION_CALL, running))

    # ------------------------------------------------------------ the rest of the extended protocol

    def _describe(self, _: int, frame: bytes) -> None:
        x = self._x
        name = message_of(frame, 0, skip=1)
        if frame[5] == _PORTAL:
            portal = x.portals.get(name)
            if portal is not None:
                portal.asked = True
            x.forward(x.permit, frame, Slot(Expect.DESCRIBE_PORTAL, portal=portal))
        else:
            x.forward(x.permit, frame, Slot(Expect.DESCRIBE_STATEMENT, prepared=x.statements.get(name)))

    def _execute(self, kind: int, frame: bytes) -> None:
        x = self._x
        name = message_of(frame, 0)
        portal = x.portals.get(name)
        if portal is None or x.judge.declared(name):
            # A cursor that SQL declared under the name is no portal that was ruled on here; FETCH is.
            self.refuse(kind, refuse.coded("34000", f'portal "{name[:64]}" does not exist'))
            return
        running = portal.running
        shape = running.action.shape
        since = portal.ran not in (-1, x.ran)
        if since and isinstance(shape, SessionShape) and (shape.placed or shape.hangs or shape.copies):
            what = "refused: other statements ran since this one was bound, and names in it may mean something else now"
            self.refuse(kind, refuse.error(Refusal(RefusalKind.POLICY, what, "bind it directly before it runs")))
            return
        portal.ran = -1
        if name and running.permit.release and not x.judge.certain(name):
            # Code that is not seen here may have closed it and opened another, or it went with its transaction.
            action = running.action
            if not portal.anything:
                told = f"more of a portal that may have been replaced: {shape.summary}"
                shape = replace(shape, summary=told, sources=None, outputs=None, inputs=None)
                action = Action(shape, action.text, action.parameters)
            self._ask(Asking(self._action_id(), action, frame, kind, portal.prepared, name), Stage.RUN)
            return
        x.runs(running.action, name)
        if running.permit.release and not portal.asked:
            # Without a description there is no telling what the rows hold.
            portal.asked = True
            if portal.prepared.description is None or not portal.prepared.confirmed:
                x.forward(x.permit, _describe_portal(name), Slot(Expect.OWN_DESCRIBE, portal=portal))
        running.owed += 1
        x.forward(running.permit, frame, Slot(Expect.EXECUTE, running, portal=portal))

    def _executed_anew(self, asking: Asking, running: Running) -> None:
        """A portal was ruled on as standing for anything: its own description tells what it has."""
        x = self._x
        assert asking.prepared is not None
        replaced = x.portals.get(asking.name)
        if replaced is not None:
            x.abandon(replaced.running)
        portal = x.portals[asking.name] = Portal(running, asking.prepared, asked=True, anything=True)
        x.runs(asking.action, asking.name)
        x.forward(x.permit, _describe_portal(asking.name), Slot(Expect.OWN_DESCRIBE, portal=portal))
        running.owed += 1
        x.forward(running.permit, asking.frame, Slot(Expect.EXECUTE, running, portal=portal))

    def _close(self, _: int, frame: bytes) -> None:
        x = self._x
        name = message_of(frame, 0, skip=1)
        if frame[5] != _PORTAL:
            x.statements.pop(name, None)
        elif (portal := x.portals.pop(name, None)) is not None:
            x.judge.lost((name,))
            x.abandon(portal.running)
        x.forward(x.permit, frame, Slot(Expect.CLOSE))

    def _sync(self, _: int, frame: bytes) -> None:
        x = self._x
        if x.copy_in is not None:
            return  # the server ignores it during COPY FROM STDIN, and owes nothing for it
        x.judge.creation = None
        local = x.skipping and x.quiet
        x.skipping = False
        x.segment += 1
        if local:
            x.out.append(message(b"Z", bytes([x.status])))
            return
        x.forward(x.permit, frame, Slot(Expect.SYNC))
        x.dirty = x.unflushed = False

    def _flush(self, _: int, frame: bytes) -> None:
        if self._x.copy_in is None:
            self._x.flush(frame)

    def _copy_data(self, kind: int, frame: bytes) -> None:
        running = self._x.copy_in
        if running is None:
            return  # as the server does outside COPY
        self._x.effects.append(Forward(running.permit, frame))
        running.bytes += len(frame)
        if kind != ord("d"):
            self._x.copy_in = None

    def _terminate(self, _: int, frame: bytes) -> None:
        self._x.effects.append(Forward(self._x.permit, frame))
        self._x.ended = "the client said goodbye"
        self._inbox.clear()


def _describe_portal(name: str) -> bytes:
    return message(b"D", b"P" + name.encode() + b"\0")


def _second_string(frame: bytes) -> str:
    start = frame.find(b"\0", 5) + 1
    return frame[start : frame.find(b"\0", start)].decode("utf-8", "replace")
