"""The query phase: from the first ReadyForQuery to the end of the connection.

Theory of operation, four rules:

1. Client messages are taken one at a time, in order. One that needs a ruling stops the line until it is
   answered; what follows waits in `_inbox` (bounded, the driver stops reading).
2. Every forwarded message leaves a `Slot` for the reply it is owed. A message from the target that fits no
   slot is a ProtocolError: the relay never guesses whose reply it is.
3. A refusal is a failed statement. When the server may hold an open transaction, explicit or the implicit one
   of a pipeline, a message that must fail goes up in the refused one's place and the client sees the refusal
   instead of the server's own error; both sides then agree on the status. When nothing is open, the answer is
   given here and nothing goes up at all.
4. What a name means is what the *server* will take it to mean. A statement whose Parse is not confirmed is
   relied on only inside its own segment (there an error skips both); otherwise the line waits.
"""

from collections import deque
from collections.abc import Callable

from ostiary.core import Action, Outcome, Permit, Refusal, RefusalKind, Result, ResultKind, Secret, Stage
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.catalog import CATALOG_QUERY
from ostiary.protocols.postgres.results import columns_of, diagnostic_columns, fields_of, message_of
from ostiary.protocols.postgres.rows import DataRows, TextFields
from ostiary.protocols.postgres.state import EXTENDED, Asking, Described, Expect, Portal, Prepared, Running, Slot
from ostiary.protocols.postgres.statements import Judge
from ostiary.wire.contract import (
    Ask,
    Close,
    Effect,
    Forward,
    ForwardAside,
    Observe,
    ProtocolError,
    Release,
    Reply,
    Side,
    Withdraw,
)

_POISON = b"denied by ostiary\0"
#: Refused statements are replaced by these: a syntax error in every version, whatever the settings.
POISON_QUERY = b"Q" + (len(_POISON) + 4).to_bytes(4, "big") + _POISON
POISON_PARSE = b"P" + (len(_POISON) + 7).to_bytes(4, "big") + b"\0" + _POISON + b"\0\0"
READY_IDLE = b"Z\0\0\0\x05I"
IDLE = ord("I")
FAILED = ord("E")
CATALOG_MESSAGE = b"Q" + (len(CATALOG_QUERY) + 5).to_bytes(4, "big") + CATALOG_QUERY.encode() + b"\0"

MAX_INBOX_BYTES = 4 << 20
MAX_SLOTS = 2048
MAX_NAMES = 4096
_DESCRIBE_PORTAL = ord("P")


class Relay:
    """One admitted session's query phase.

    Args:
        permit: the session permit.
        judge: turns SQL into actions.
        cancel_key: BackendKeyData body the target gave (process id and secret), for CancelRequest.
    """

    def __init__(self, permit: Permit, judge: Judge, cancel_key: Secret | None) -> None:
        self._permit = permit
        self._judge = judge
        self._cancel_key = cancel_key
        self._inbox: deque[tuple[int, bytes]] = deque()
        self._inbox_bytes = 0
        self._outbox: deque[tuple[int, bytes]] = deque()
        self._slots: deque[Slot] = deque()
        self._asking: Asking | None = None
        self._releasing: Callable[[Result | Refusal, bool], None] | None = None
        self._statements: dict[str, Prepared] = {}
        self._portals: dict[str, Portal] = {}
        self._open: dict[int, Running] = {}
        self._next_action = 1
        self._status = IDLE
        self._segment = 0
        #: Something was forwarded since the last Sync (or simple query): the server may be in an implicit transaction.
        self._dirty = False
        #: Client messages are dropped until Sync, as the server does after an error.
        self._skipping = False
        self._copy_in: Running | None = None
        self._effects: list[Effect] = []
        self._client_out: list[bytes] = []

    # ------------------------------------------------------------ driven by the engine

    def wants(self, side: Side) -> bool:
        """False while the queues of that side are full."""
        if side is Side.CLIENT:
            return self._inbox_bytes < MAX_INBOX_BYTES and len(self._slots) < MAX_SLOTS
        return len(self._outbox) < MAX_SLOTS

    def from_client(self, frames: list[tuple[int, bytes]]) -> list[Effect]:
        """Whole messages from the client."""
        self._inbox.extend(frames)
        self._inbox_bytes += sum(len(frame) for _, frame in frames)
        self._advance()
        return self._flush()

    def from_target(self, frames: list[tuple[int, bytes]]) -> list[Effect]:
        """Whole messages from the target."""
        self._outbox.extend(frames)
        self._drain()
        self._advance()
        return self._flush()

    def ruled(self, action_id: int, answer: Permit | Refusal) -> list[Effect]:
        """The answer to an `Ask`."""
        asking = self._asking
        if asking is None or asking.action_id != action_id:
            raise ProtocolError("a ruling came for an action that was not asked about")
        self._asking = None
        if isinstance(answer, Refusal):
            self._refuse(asking.kind, refuse.error(answer))
        else:
            self._permitted(asking, answer)
        self._advance()
        return self._flush()

    def released(self, answer: Result | Refusal, *, clear: bool) -> list[Effect]:
        """The answer to a `Release`."""
        then = self._releasing
        if then is None:
            raise ProtocolError("a result came back that was not handed over")
        self._releasing = None
        then(answer, clear)
        self._drain()
        self._advance()
        return self._flush()

    def held(self, notice: str) -> list[Effect]:
        """Tell the client that it waits for a person."""
        return [Reply(refuse.notice(notice))] if self._asking is not None else []

    def interrupted(self) -> list[Effect]:
        """A valid CancelRequest came for this session."""
        asking = self._asking
        if asking is not None:
            self._asking = None
            self._effects.append(Withdraw(asking.action_id))
            self._refuse(asking.kind, refuse.cancelled())
            self._advance()
        elif self._slots and self._cancel_key is not None:
            key = self._cancel_key.reveal()
            request = (len(key) + 8).to_bytes(4, "big") + (80877102).to_bytes(4, "big") + key
            self._effects.append(ForwardAside(self._permit, request))
        return self._flush()

    def _flush(self) -> list[Effect]:
        if self._client_out:
            self._effects.append(Reply(b"".join(self._client_out)))
            self._client_out.clear()
        effects, self._effects = self._effects, []
        return effects

    # ------------------------------------------------------------ client to target

    def _advance(self) -> None:
        if self._judge.stale and not self._slots and not self._dirty and self._status != FAILED:
            self._slots.append(Slot(Expect.OWN_CATALOG))
            self._effects.append(Forward(self._permit, CATALOG_MESSAGE))
        while self._inbox and self._asking is None and len(self._slots) < MAX_SLOTS:
            kind, frame = self._inbox[0]
            if self._must_wait(kind, frame):
                return
            self._inbox.popleft()
            self._inbox_bytes -= len(frame)
            self._take(kind, frame)

    def _must_wait(self, kind: int, frame: bytes) -> bool:
        """Rule 4, and the barrier behind statements that change what later ones mean."""
        if not self._slots:
            return False
        if self._slots[-1].expect is Expect.OWN_CATALOG:
            return True
        if kind == ord("B"):
            _, _, rest = frame[5:].partition(b"\0")
            name = rest.partition(b"\0")[0].decode("utf-8", "replace")
            prepared = self._statements.get(name)
            return prepared is not None and not prepared.confirmed and prepared.segment != self._segment
        return kind in b"QPF" and any(
            slot.running and slot.running.action.shape.context.get("barrier") for slot in self._slots
        )

    def _take(self, kind: int, frame: bytes) -> None:
        if self._skipping and kind not in b"SX":
            return
        match chr(kind):
            case "Q":
                self._ask_query(kind, frame)
            case "P":
                self._ask_parse(kind, frame)
            case "B":
                self._ask_bind(kind, frame)
            case "D":
                self._describe(frame)
            case "E":
                self._execute(frame)
            case "C":
                self._close(frame)
            case "S":
                self._sync(frame)
            case "H":
                self._forward(self._permit, frame)
            case "F":
                self._ask_function(kind, frame)
            case "d" | "c" | "f":
                self._copy_data(kind, frame)
            case "X":
                self._effects += (Forward(self._permit, frame), Close("the client said goodbye"))
            case other:
                raise ProtocolError(f"a message of type {other!r} has no place in the query phase")

    def _forward(self, permit: Permit, frame: bytes, slot: Slot | None = None) -> None:
        self._effects.append(Forward(permit, frame))
        self._dirty = True
        if slot is not None:
            self._slots.append(slot)

    def _ask(self, asking: Asking, stage: Stage) -> None:
        self._asking = asking
        self._effects.append(Ask(asking.action_id, asking.action, stage))

    def _action_id(self) -> int:
        self._next_action += 1
        return self._next_action - 1

    def _judged(self, kind: int, make: Callable[[], Action]) -> Action | None:
        """Make an action; one that can't be made is a refusal, never an exception."""
        try:
            return make()
        except ValueError as error:
            self._refuse(kind, refuse.error(Refusal(RefusalKind.POLICY, f"refused: {error}", "nothing was sent")))
            return None

    def _ask_query(self, kind: int, frame: bytes) -> None:
        action = self._judged(kind, lambda: self._judge.statement(message_of(frame, 0)))
        if action is not None:
            self._ask(Asking(self._action_id(), action, frame, kind), Stage.RUN)

    def _ask_parse(self, kind: int, frame: bytes) -> None:
        name, text = message_of(frame, 0), message_of(frame, 1)
        action = self._judged(kind, lambda: self._judge.statement(text))
        if action is not None:
            if len(self._statements) >= MAX_NAMES and name not in self._statements:
                full = Refusal(RefusalKind.PROTOCOL, f"more than {MAX_NAMES} prepared statements", "close some first")
                self._refuse(kind, refuse.error(full))
                return
            prepared = Prepared(action, text, segment=self._segment)
            self._ask(Asking(self._action_id(), action, frame, kind, prepared, name), Stage.PREPARE)

    def _ask_bind(self, kind: int, frame: bytes) -> None:
        bind = self._judge.bind(frame)
        prepared = self._statements.get(bind.statement)
        if prepared is None:
            unknown = Refusal(RefusalKind.PROTOCOL, f'prepared statement "{bind.statement[:64]}" does not exist', "")
            self._refuse(kind, refuse.error(unknown))
            return
        action = self._judge.with_parameters(prepared.action, bind.parameters, prepared.parameter_types)
        asking = Asking(self._action_id(), action, frame, kind, prepared, bind.portal, bind.formats)
        self._ask(asking, Stage.RUN)

    def _ask_function(self, kind: int, frame: bytes) -> None:
        action = self._judge.function_call(int.from_bytes(frame[5:9], "big"))
        self._ask(Asking(self._action_id(), action, frame, kind), Stage.RUN)

    def _permitted(self, asking: Asking, permit: Permit) -> None:
        if asking.action.shape.context.get("changes") and chr(asking.kind) != "P":
            # From here until it ended, what the snapshot says may be wrong already.
            self._judge.stale = True
        running = Running(asking.action_id, asking.action, permit)
        match chr(asking.kind):
            case "Q":
                self._open[asking.action_id] = running
                # A simple query destroys the unnamed statement and portal (Message Flow, simple query).
                self._statements.pop("", None)
                self._portals.pop("", None)
                self._forward(permit, asking.frame, Slot(Expect.QUERY, running))
            case "P":
                assert asking.prepared is not None
                self._statements[asking.name] = asking.prepared
                if asking.name:
                    self._judge.remember_parse(asking.name, asking.prepared.text)
                self._forward(permit, asking.frame, Slot(Expect.PARSE, prepared=asking.prepared, name=asking.name))
            case "B":
                self._open[asking.action_id] = running
                portal = Portal(running, asking.prepared, asking.formats)
                self._portals[asking.name] = portal
                self._forward(permit, asking.frame, Slot(Expect.BIND, portal=portal))
            case _:
                self._open[asking.action_id] = running
                self._forward(permit, asking.frame, Slot(Expect.FUNCTION_CALL, running))

    def _describe(self, frame: bytes) -> None:
        name = message_of(frame, 0, skip=1)
        if frame[5] == _DESCRIBE_PORTAL:
            portal = self._portals.get(name)
            if portal is not None:
                portal.own_describe = True
            self._forward(self._permit, frame, Slot(Expect.DESCRIBE_PORTAL, portal=portal))
        else:
            prepared = self._statements.get(name)
            self._forward(self._permit, frame, Slot(Expect.DESCRIBE_STATEMENT, prepared=prepared))

    def _execute(self, frame: bytes) -> None:
        name = message_of(frame, 0)
        portal = self._portals.get(name)
        if portal is None:
            unknown = Refusal(RefusalKind.PROTOCOL, f'portal "{name[:64]}" does not exist', "")
            self._refuse(ord("E"), refuse.error(unknown))
            return
        if portal.running.permit.release and not portal.own_describe:
            # Without a description there is no telling what the rows hold.
            portal.own_describe = True
            encoded = b"P" + name.encode() + b"\0"
            describe = b"D" + (len(encoded) + 4).to_bytes(4, "big") + encoded
            self._forward(self._permit, describe, Slot(Expect.OWN_DESCRIBE, portal=portal))
        self._forward(portal.running.permit, frame, Slot(Expect.EXECUTE, portal.running, portal=portal))

    def _close(self, frame: bytes) -> None:
        name = message_of(frame, 0, skip=1)
        if frame[5] == _DESCRIBE_PORTAL:
            self._portals.pop(name, None)
        else:
            self._statements.pop(name, None)
        self._forward(self._permit, frame, Slot(Expect.CLOSE))

    def _sync(self, frame: bytes) -> None:
        local = self._skipping and not self._dirty and not self._slots
        self._skipping = False
        self._segment += 1
        if local:
            self._client_out.append(READY_IDLE)
            return
        self._forward(self._permit, frame, Slot(Expect.SYNC))
        self._dirty = False

    def _copy_data(self, kind: int, frame: bytes) -> None:
        if self._copy_in is None:
            return  # as the server does outside COPY
        self._effects.append(Forward(self._copy_in.permit, frame))
        self._copy_in.bytes += len(frame)
        if kind != ord("d"):
            self._copy_in = None

    def _refuse(self, kind: int, message: bytes) -> None:
        """Rule 3."""
        simple = kind in b"QF"
        nothing_open = not self._slots and self._status == IDLE and not self._dirty
        if nothing_open:
            self._client_out.append(message)
            if simple:
                self._client_out.append(READY_IDLE)
            else:
                self._skipping = True
            return
        if simple:
            self._forward(self._permit, POISON_QUERY, Slot(Expect.POISON_QUERY, substitute=message))
            self._dirty = False
        else:
            self._statements.pop("", None)
            self._forward(self._permit, POISON_PARSE, Slot(Expect.POISON_PARSE, substitute=message))
            self._skipping = True

    # ------------------------------------------------------------ target to client

    def _drain(self) -> None:
        while self._outbox and self._releasing is None:
            kind, frame = self._outbox.popleft()
            match chr(kind):
                case "D":
                    self._rows(frame)
                case "N" | "A":
                    self._hand_over_fields(0, frame)
                case "S":
                    self._judge.parameter_status(frame)
                    self._client_out.append(frame)
                case "E":
                    self._failed(frame)
                case "Z":
                    self._ready(frame)
                case _:
                    self._reply(kind, frame)

    def _head(self, kind: int) -> Slot:
        if not self._slots:
            raise ProtocolError(f"the target sent a message of type {chr(kind)!r} that nothing asked for")
        return self._slots[0]

    def _reply(self, kind: int, frame: bytes) -> None:  # noqa: C901 - one flat table of replies
        slot = self._head(kind)
        match (chr(kind), slot.expect):
            case ("1", Expect.PARSE):
                assert slot.prepared is not None
                slot.prepared.confirmed = True
                self._slots.popleft()
            case ("2", Expect.BIND) | ("3", Expect.CLOSE):
                self._slots.popleft()
            case ("t", Expect.DESCRIBE_STATEMENT):
                if slot.prepared is not None:
                    count = int.from_bytes(frame[5:7], "big")
                    slot.prepared.parameter_types = tuple(
                        int.from_bytes(frame[7 + 4 * i : 11 + 4 * i], "big") for i in range(count)
                    )
            case ("T" | "n", Expect.DESCRIBE_STATEMENT):
                self._slots.popleft()
            case ("T" | "n", Expect.DESCRIBE_PORTAL | Expect.OWN_DESCRIBE):
                if slot.portal is not None:
                    columns = columns_of(frame, self._judge) if kind == ord("T") else ()
                    slot.portal.described = Described(columns, clear=not slot.portal.running.permit.release)
                self._slots.popleft()
                if slot.expect is Expect.OWN_DESCRIBE:
                    return
            case ("T", Expect.QUERY):
                assert slot.running is not None
                slot.described = Described(columns_of(frame, self._judge), clear=not slot.running.permit.release)
            case ("C" | "I", Expect.QUERY):
                pass
            case ("T" | "C", Expect.OWN_CATALOG):
                return
            case ("C" | "I", Expect.EXECUTE):
                assert slot.running is not None
                self._finish(slot.running, "ok", _tag(kind, frame))
                self._slots.popleft()
            case ("s", Expect.EXECUTE):
                self._slots.popleft()
            case ("G", Expect.QUERY | Expect.EXECUTE):
                self._copy_in = slot.running
            case ("H" | "d" | "c", Expect.QUERY | Expect.EXECUTE):
                self._copy_out(kind, frame, slot)
                return
            case ("V", Expect.FUNCTION_CALL):
                pass
            case _:
                raise ProtocolError(f"the target answered {slot.expect.name} with a message of type {chr(kind)!r}")
        self._client_out.append(frame)

    def _copy_out(self, kind: int, frame: bytes, slot: Slot) -> None:
        assert slot.running is not None
        if slot.running.permit.release and kind == ord("d"):
            raise ProtocolError("COPY OUT of a target with masking is not supported yet")
        slot.running.bytes += len(frame)
        slot.running.rows += kind == ord("d")
        self._client_out.append(frame)

    def _rows(self, frame: bytes) -> None:
        slot = self._head(ord("D"))
        if slot.expect is Expect.OWN_CATALOG:
            slot.cells.append(frame)
            return
        described = slot.portal.described if slot.portal is not None else slot.described
        running = slot.running
        if running is None or slot.expect not in (Expect.QUERY, Expect.EXECUTE):
            raise ProtocolError("the target sent a row that nothing asked for")
        frames = [frame]
        while self._outbox and self._outbox[0][0] == ord("D"):
            frames.append(self._outbox.popleft()[1])
        running.rows += len(frames)
        running.bytes += sum(map(len, frames))
        if described is None:
            if running.permit.release:
                raise ProtocolError("the target sent rows without having described them")
            self._client_out += frames
            return
        if described.clear:
            self._client_out += frames
            return
        result = Result(ResultKind.ROWS, described.columns, DataRows(frames, len(described.columns)))

        def then(answer: Result | Refusal, clear: bool) -> None:
            if isinstance(answer, Refusal):
                self._client_out.append(refuse.error(answer, "FATAL"))
                self._effects.append(Close(answer.message))
                self._outbox.clear()
                return
            described.clear = clear
            rows = answer.rows
            assert isinstance(rows, DataRows)
            self._client_out.append(rows.encode())

        self._hand_over(running.action_id, result, then)

    def _hand_over(self, action_id: int, result: Result, then: Callable[[Result | Refusal, bool], None]) -> None:
        self._releasing = then
        self._effects.append(Release(action_id, result))

    def _hand_over_fields(self, action_id: int, frame: bytes) -> None:
        """Errors, notices and notifications carry values too."""
        names, cells = fields_of(frame)
        result = Result(ResultKind.DIAGNOSTIC, diagnostic_columns(names), TextFields(cells))

        def then(answer: Result | Refusal, clear: bool) -> None:
            del clear
            if isinstance(answer, Refusal):
                self._client_out.append(refuse.error(answer, "FATAL"))
                self._effects.append(Close(answer.message))
                return
            rows = answer.rows
            assert isinstance(rows, TextFields)
            self._client_out.append(_encode_fields(frame, names, rows.cells))

        self._hand_over(action_id, result, then)

    def _failed(self, frame: bytes) -> None:
        if not self._slots:
            # Outside any statement the server ends the session (57P01): say it, the close follows.
            self._hand_over_fields(0, frame)
            return
        slot = self._slots[0]
        if slot.expect is Expect.OWN_CATALOG:
            raise ProtocolError("the target's catalogue could not be read; nothing can be judged without it")
        if slot.expect in (Expect.POISON_QUERY, Expect.POISON_PARSE):
            self._client_out.append(slot.substitute)
        else:
            self._hand_over_fields(slot.running.action_id if slot.running else 0, frame)
        if slot.running is not None:
            self._finish(slot.running, "error", fields_code(frame))
            self._copy_in = None
        if slot.expect in EXTENDED:
            while self._slots and self._slots[0].expect in EXTENDED:
                dropped = self._slots.popleft()
                if dropped.prepared is not None and dropped.expect is Expect.PARSE:
                    self._forget(dropped)
            if not self._slots:
                self._skipping = True

    def _forget(self, slot: Slot) -> None:
        if self._statements.get(slot.name) is slot.prepared:
            del self._statements[slot.name]

    def _ready(self, frame: bytes) -> None:
        slot = self._head(ord("Z"))
        if slot.expect is Expect.OWN_CATALOG:
            self._slots.popleft()
            self._judge.learn(slot.cells)
            return
        if slot.expect not in (Expect.SYNC, Expect.QUERY, Expect.FUNCTION_CALL, Expect.POISON_QUERY):
            raise ProtocolError("the target said ReadyForQuery before it answered everything")
        self._slots.popleft()
        self._status = frame[5]
        if slot.expect is not Expect.SYNC:
            self._dirty = bool(self._slots)
            if slot.running is not None:
                self._finish(slot.running, "ok", "")
        if self._status == IDLE and not self._slots:
            self._portals.clear()
            for running in list(self._open.values()):
                self._finish(running, "ok", "not run to its end")
        self._client_out.append(frame)

    def _finish(self, running: Running, status: str, tag: str) -> None:
        if running.action.shape.context.get("changes"):
            self._judge.forget()
        if self._open.pop(running.action_id, None) is not None:
            self._effects.append(Observe(running.action_id, Outcome(status, tag, running.rows, running.bytes)))


def _tag(kind: int, frame: bytes) -> str:
    return frame[5:-1].decode("utf-8", "replace") if kind == ord("C") else ""


def fields_code(frame: bytes) -> str:
    """SQLSTATE of an ErrorResponse."""
    names, cells = fields_of(frame)
    for name, cell in zip(names, cells, strict=True):
        if name == "C" and cell is not None:
            return cell.decode("ascii", "replace")
    return ""


def _encode_fields(frame: bytes, names: tuple[str, ...], cells: list[bytes | None]) -> bytes:
    if frame[:1] == b"A":
        channel, payload = (cell or b"" for cell in cells)
        body = frame[5:9] + channel + b"\0" + payload + b"\0"
    else:
        body = b"".join(n.encode() + (c or b"") + b"\0" for n, c in zip(names, cells, strict=True)) + b"\0"
    return frame[:1] + (len(body) + 4).to_bytes(4, "big") + body
