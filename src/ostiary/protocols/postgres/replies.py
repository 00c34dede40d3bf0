"""Target to client: every message settles the slot it is owed to, and values pass the gate before the client has them.

A message that fits no slot is a ProtocolError: nobody guesses whose reply it is.
"""

from collections import deque
from collections.abc import Callable

from ostiary.core import Column, Refusal, Result, ResultKind, ValueKind, naming
from ostiary.protocols.postgres.copied import CopyRows
from ostiary.protocols.postgres.copying import CopyOut
from ostiary.protocols.postgres.framing import Frame, message
from ostiary.protocols.postgres.results import (
    NOTIFICATION,
    UNASKED,
    Descriptions,
    check_copy,
    command_tag,
    diagnostic_columns,
    encode_fields,
    field_names,
    field_of,
    fields_of,
    parameter_types,
    renamed,
    transaction_status,
)
from ostiary.protocols.postgres.rows import DataRows, TextFields
from ostiary.protocols.postgres.shapes import SessionShape
from ostiary.protocols.postgres.state import EXTENDED, IDLE, Described, Exchange, Expect, Slot
from ostiary.wire.contract import ProtocolError, Release

MAX_OUTBOX = 2048
MAX_OWN_ANSWER = 64 << 20
_ENDS_WITH_READY = frozenset({Expect.SYNC, Expect.QUERY, Expect.FUNCTION_CALL, Expect.POISON_QUERY, Expect.OWN_SYNC})
_SYNCS = frozenset({Expect.SYNC, Expect.OWN_SYNC})
_OWN = frozenset({Expect.OWN_QUERY, Expect.OWN_STEP})
#: Reported settings whose value is anything one likes.
_FREE = frozenset({b"application_name", b"search_path", b"TimeZone", b"session_authorization", b"scram_iterations"})
_SETTING = (Column("setting", None, ValueKind.TEXT),)
_FUNCTION_RESULT = (Column("function result", None, ValueKind.OPAQUE, binary=True),)


class Replies:
    """See the module."""

    def __init__(self, exchange: Exchange) -> None:
        self._x = exchange
        self._outbox: deque[Frame] = deque()
        self._descriptions = Descriptions(exchange.judge)
        self._copy_out: CopyOut | None = None
        self._settle: dict[int, Callable[[Slot, bytes], None]] = {
            ord("1"): self._parse_complete,
            ord("2"): self._bind_complete,
            ord("3"): self._close_complete,
            ord("t"): self._parameter_description,
            ord("T"): self._row_description,
            ord("n"): self._no_data,
            ord("C"): self._command_complete,
            ord("I"): self._command_complete,
            ord("s"): self._portal_suspended,
            ord("G"): self._copy_in_response,
            ord("H"): self._copy_out_response,
            ord("c"): self._copy_done,
            ord("V"): self._function_result,
            ord("Z"): self._ready,
        }

    @property
    def wanted(self) -> bool:
        """False while the queue is full."""
        return len(self._outbox) < MAX_OUTBOX

    def receive(self, frames: list[Frame]) -> None:
        """Whole messages from the target."""
        self._outbox.extend(frames)

    def drain(self) -> None:
        """Settle what came, until the gate has something to look at."""
        x = self._x
        outbox = self._outbox
        while outbox and x.releasing is None:
            kind, frame, count = outbox.popleft()
            if kind == ord("D"):
                self._rows(frame, count)
            elif kind == ord("d"):
                self._copy_rows(frame, count)
            elif kind == ord("E"):
                self._failed(frame)
            elif kind == ord("N") or kind == ord("A"):
                self._hand_over_fields(0, frame)
            elif kind == ord("S"):
                x.judge.parameter_status(frame)
                self._setting(frame)
            else:
                settle = self._settle.get(kind)
                if settle is None or not x.slots:
                    raise ProtocolError(f"the target sent a message of type {chr(kind)!r} that nothing asked for")
                settle(x.slots[0], frame)

    def released(self, answer: Result | Refusal, *, clear: bool) -> None:
        """The answer to a `Release`."""
        then = self._x.releasing
        if then is None:
            raise ProtocolError("a result came back that was not handed over")
        self._x.releasing = None
        then(answer, clear)

    def reclassified(self) -> None:
        """Whatever is described, in an answer that is under way or a portal that may run on, is looked at again."""
        portals = [slot.portal for slot in self._x.slots if slot.portal is not None]
        described = [(slot.running, slot.described) for slot in self._x.slots]
        described += [(each.running, each.described) for each in (*portals, *self._x.portals.values())]
        for running, found in described:
            if running is not None and found is not None and running.permit.release:
                found.clear = False
        if self._copy_out is not None:
            self._copy_out.clear = False

    # ------------------------------------------------------------ settling

    def _misfit(self, slot: Slot, frame: bytes) -> ProtocolError:
        return ProtocolError(f"the target answered {slot.expect.name} with a message of type {chr(frame[0])!r}")

    def _done(self, frame: bytes) -> None:
        self._x.slots.popleft()
        self._x.out.append(frame)

    def _parse_complete(self, slot: Slot, frame: bytes) -> None:
        if slot.expect is Expect.OWN_STEP:
            self._x.slots.popleft()
            return
        if slot.expect is not Expect.PARSE or slot.prepared is None:
            raise self._misfit(slot, frame)
        slot.prepared.confirmed = True
        self._done(frame)

    def _bind_complete(self, slot: Slot, frame: bytes) -> None:
        if slot.expect is Expect.OWN_STEP:
            self._x.slots.popleft()
        elif slot.expect is Expect.BIND:
            self._done(frame)
        else:
            raise self._misfit(slot, frame)

    def _close_complete(self, slot: Slot, frame: bytes) -> None:
        if slot.expect is Expect.OWN_STEP:
            self._x.slots.popleft()
        elif slot.expect is Expect.CLOSE:
            self._done(frame)
        else:
            raise self._misfit(slot, frame)

    def _parameter_description(self, slot: Slot, frame: bytes) -> None:
        if slot.expect is not Expect.DESCRIBE_STATEMENT:
            raise self._misfit(slot, frame)
        types = parameter_types(frame)
        if slot.prepared is not None:
            slot.prepared.parameter_types = types
        self._x.out.append(frame)

    def _columns(self, frame: bytes, formats: tuple[int, ...] = ()) -> tuple[Column, ...]:
        return self._descriptions.columns(frame, self._x.judge.stamp, formats)

    def _row_description(self, slot: Slot, frame: bytes) -> None:
        columns = self._columns(frame)
        if self._renamed(slot):
            strange = [column.name for column in columns if not self._x.judge.names(column.name)]
            if strange:
                self._rename(slot, frame, strange)
                return
        self._describe(slot, frame, columns)

    def _renamed(self, slot: Slot) -> bool:
        """Its columns may be named by data."""
        if slot.expect in _OWN or not self._x.permit.release:
            return False
        if slot.portal is not None and slot.portal.anything:
            return True
        running = slot.running or (slot.portal.running if slot.portal is not None else None)
        action = running.action if running is not None else slot.prepared.action if slot.prepared is not None else None
        return action is None or (isinstance(action.shape, SessionShape) and action.shape.renamed)

    def _rename(self, slot: Slot, frame: bytes, strange: list[str]) -> None:
        """Names that nothing here has are values."""

        def then(masked: Result, clear: bool) -> None:
            del clear
            rows = masked.rows
            assert isinstance(rows, TextFields)
            shown = dict(zip(strange, rows.cells, strict=True))
            told = renamed(
                frame, [shown.get(name.decode("utf-8", "replace"), name) or b"" for name in field_names(frame)]
            )
            self._describe(slot, told, self._columns(told))

        columns = tuple(Column("column name", None, ValueKind.TEXT) for _ in strange)
        cells: list[bytes | None] = [name.encode() for name in strange]
        self._hand_over(0, Result(ResultKind.DIAGNOSTIC, columns, TextFields(cells)), then)

    def _describe(self, slot: Slot, frame: bytes, columns: tuple[Column, ...]) -> None:
        match slot.expect:
            case Expect.QUERY:
                assert slot.running is not None
                slot.described = Described(columns, clear=not slot.running.permit.release)
                self._x.out.append(frame)
            case Expect.DESCRIBE_PORTAL | Expect.OWN_DESCRIBE:
                if slot.portal is not None:
                    clear = not slot.portal.running.permit.release
                    slot.portal.described = Described(columns, clear=clear)
                self._described(slot, frame)
            case Expect.DESCRIBE_STATEMENT:
                if slot.prepared is not None:
                    slot.prepared.description = frame
                self._done(frame)
            case Expect.OWN_QUERY | Expect.OWN_STEP:
                pass
            case _:
                raise self._misfit(slot, frame)

    def _no_data(self, slot: Slot, frame: bytes) -> None:
        match slot.expect:
            case Expect.DESCRIBE_PORTAL | Expect.OWN_DESCRIBE:
                if slot.portal is not None:
                    slot.portal.described = Described(())
                self._described(slot, frame)
            case Expect.DESCRIBE_STATEMENT:
                self._done(frame)
            case _:
                raise self._misfit(slot, frame)

    def _described(self, slot: Slot, frame: bytes) -> None:
        if slot.expect is Expect.DESCRIBE_PORTAL:
            self._x.out.append(frame)
        self._x.slots.popleft()

    def _command_complete(self, slot: Slot, frame: bytes) -> None:
        tag = command_tag(frame)
        match slot.expect:
            case Expect.QUERY:
                assert slot.running is not None
                slot.described = None
                slot.name = tag
                self._x.out.append(frame)
            case Expect.EXECUTE:
                assert slot.running is not None
                self._x.finish(slot.running, "ok", tag)
                self._done(frame)
            case Expect.OWN_QUERY:
                pass
            case Expect.OWN_STEP:
                self._answer(slot)
            case _:
                raise self._misfit(slot, frame)

    def _portal_suspended(self, slot: Slot, frame: bytes) -> None:
        running = slot.running
        if slot.expect is not Expect.EXECUTE or running is None:
            raise self._misfit(slot, frame)
        running.owed -= 1
        if running.abandoned:
            self._x.abandon(running)
        self._done(frame)

    def _ready(self, slot: Slot, frame: bytes) -> None:
        x = self._x
        x.status = transaction_status(frame)
        if slot.expect is Expect.OWN_QUERY:
            self._answer(slot)
            return
        if slot.expect not in _ENDS_WITH_READY:
            raise ProtocolError("the target said ReadyForQuery before it answered everything")
        if slot.substitute:
            raise ProtocolError("the target did not fail what must fail")
        x.slots.popleft()
        if slot.running is not None:
            x.dirty = x.dirty and bool(x.slots)
            x.finish(slot.running, "ok", slot.name)
        elif slot.expect is Expect.POISON_QUERY:
            x.dirty = x.dirty and bool(x.slots)
        if x.status == IDLE and not x.slots:
            x.forget_portals()
            for running in list(x.open.values()):
                x.finish(running, "ok", "not run to its end")
        x.judge.unseen = x.judge.unseen and bool(x.slots)
        if slot.expect is not Expect.OWN_SYNC:
            x.out.append(frame)

    # ------------------------------------------------------------ COPY

    def _copy_in_response(self, slot: Slot, frame: bytes) -> None:
        if slot.expect not in (Expect.QUERY, Expect.EXECUTE):
            raise self._misfit(slot, frame)
        check_copy(frame)
        self._x.copy_in = slot.running
        # What was sent behind the Execute is read by the server during COPY, and a Sync there is ignored.
        first, *behind = self._x.slots
        kept = [other for other in behind if other.expect is not Expect.SYNC]
        if len(kept) < len(behind):
            self._x.dirty = self._x.unflushed = True
        self._x.slots.clear()
        self._x.slots.extend([first, *kept])
        self._x.out.append(frame)

    def _copy_out_response(self, slot: Slot, frame: bytes) -> None:
        if slot.expect not in (Expect.QUERY, Expect.EXECUTE) or slot.running is None:
            raise self._misfit(slot, frame)
        check_copy(frame)
        self._copy_out = None
        if slot.running.permit.release:
            self._copy_out = CopyOut.of(slot.running.next_copy(), frame, self._x.judge)
        self._x.out.append(frame)

    def _copy_rows(self, frame: bytes, count: int) -> None:
        slot = self._x.slots[0] if self._x.slots else None
        if slot is None or slot.running is None or slot.expect not in (Expect.QUERY, Expect.EXECUTE):
            raise ProtocolError("the target sent COPY data that nothing asked for")
        slot.running.bytes += len(frame)
        slot.running.rows += count
        copy = self._copy_out
        if copy is None or copy.clear:
            if copy is None and slot.running.permit.release:
                raise ProtocolError("the target sent COPY data before it said what it is")
            self._x.out.append(frame)
            return
        head, batch, tail = copy.batch(frame, count)
        if batch is None:
            self._x.out.append(head + tail)
            return

        def then(masked: Result, clear: bool) -> None:
            copy.clear = clear
            rows = masked.rows
            assert isinstance(rows, CopyRows)
            self._x.out += (head, rows.encode(), tail)

        self._hand_over(slot.running.action_id, Result(ResultKind.ROWS, copy.columns, batch), then)

    def _copy_done(self, slot: Slot, frame: bytes) -> None:
        if slot.expect not in (Expect.QUERY, Expect.EXECUTE):
            raise self._misfit(slot, frame)
        self._copy_out = None
        self._x.out.append(frame)

    # ------------------------------------------------------------ values

    def _rows(self, run: bytes, count: int) -> None:
        x = self._x
        slot = x.slots[0] if x.slots else None
        if slot is None or (slot.running is None and slot.expect not in _OWN):
            raise ProtocolError("the target sent a row that nothing asked for")
        if slot.expect in _OWN:
            slot.cells.append(run)
            if sum(map(len, slot.cells)) > MAX_OWN_ANSWER:
                raise ProtocolError("the target's answer to a question of the gateway is too long")
            return
        running = slot.running
        assert running is not None
        if slot.expect is Expect.EXECUTE:
            described = self._portal_described(slot)
        elif slot.expect is Expect.QUERY:
            described = slot.described
        else:
            raise ProtocolError("the target sent a row that nothing asked for")
        running.rows += count
        running.bytes += len(run)
        if described is None:
            if running.permit.release:
                raise ProtocolError("the target sent rows without having described them")
            x.out.append(run)
            return
        if described.clear:
            x.out.append(run)
            return

        def then(masked: Result, clear: bool) -> None:
            described.clear = clear
            rows = masked.rows
            assert isinstance(rows, DataRows)
            x.out.append(rows.encode())

        batch = DataRows(run, count, len(described.columns))
        self._hand_over(running.action_id, Result(ResultKind.ROWS, described.columns, batch), then)

    def _portal_described(self, slot: Slot) -> Described | None:
        portal = slot.portal
        assert portal is not None
        if portal.described is None and portal.prepared.description is not None:
            columns = self._columns(portal.prepared.description, portal.formats or (0,))
            portal.described = Described(columns, clear=not portal.running.permit.release)
        return portal.described

    def _function_result(self, slot: Slot, frame: bytes) -> None:
        if slot.expect is not Expect.FUNCTION_CALL or slot.running is None:
            raise self._misfit(slot, frame)
        size = int.from_bytes(frame[5:9], "big", signed=True)
        if len(frame) != 9 + max(size, 0) or size < -1:
            raise ProtocolError("the target sent a malformed FunctionCallResponse")
        if not slot.running.permit.release or size < 0:
            self._x.out.append(frame)
            return

        def then(masked: Result, clear: bool) -> None:
            del clear
            (cell,) = masked.rows.column(0)
            body = b"\xff\xff\xff\xff" if cell is None else len(cell).to_bytes(4, "big") + cell
            self._x.out.append(message(b"V", body))

        result = Result(ResultKind.ROWS, _FUNCTION_RESULT, TextFields([frame[9:]]))
        self._hand_over(slot.running.action_id, result, then)

    def _hand_over_fields(self, action_id: int, frame: bytes) -> None:
        """Errors, notices and notifications carry values too."""
        names, cells = fields_of(frame)
        if not self._x.permit.release:
            self._x.out.append(frame)
            return
        if names == NOTIFICATION:
            channel = naming.join("channel", (cells[0] or b"").decode("utf-8", "replace"), separator="/")
            names = NOTIFICATION if channel in self._x.judge.channels else UNASKED

        def then(masked: Result, clear: bool) -> None:
            del clear
            rows = masked.rows
            assert isinstance(rows, TextFields)
            self._x.out.append(encode_fields(frame, names, rows.cells))

        result = Result(ResultKind.DIAGNOSTIC, diagnostic_columns(names, cells), TextFields(cells))
        self._hand_over(action_id, result, then)

    def _setting(self, frame: bytes) -> None:
        """What the server says of a setting is what the client set, unless other code may have."""
        name, value, _ = frame[5:].split(b"\0")
        if name not in _FREE or not self._x.judge.unseen or not self._x.permit.release:
            self._x.out.append(frame)
            return

        def then(masked: Result, clear: bool) -> None:
            del clear
            (cell,) = masked.rows.column(0)
            self._x.out.append(message(b"S", name + b"\0" + (cell or b"") + b"\0"))

        self._hand_over(0, Result(ResultKind.DIAGNOSTIC, _SETTING, TextFields([value])), then)

    def _hand_over(self, action_id: int, result: Result, then: Callable[[Result, bool], None]) -> None:
        def answered(answer: Result | Refusal, clear: bool) -> None:
            if isinstance(answer, Refusal):
                # Half of a result can't be taken back: the session ends here.
                self._x.end(answer)
            else:
                then(answer, clear)

        self._x.releasing = answered
        self._x.effects.append(Release(action_id, result))

    # ------------------------------------------------------------ ends

    def _answer(self, slot: Slot) -> None:
        """A question of ours is answered."""
        self._x.slots.popleft()
        if slot.answer is not None:
            slot.answer(slot.cells)

    def _failed(self, frame: bytes) -> None:
        x = self._x
        if not x.slots:
            # Outside any statement the server ends the session (57P01): say it, the close follows.
            self._hand_over_fields(0, frame)
            return
        slot = x.slots[0]
        running = slot.running or (slot.portal.running if slot.portal is not None else None)
        self._copy_out = None
        if slot.expect in (Expect.POISON_QUERY, Expect.POISON_PARSE):
            x.out.append(slot.substitute)
            slot.substitute = b""
        elif slot.expect not in _OWN:
            parsed = slot.prepared.action_id if slot.expect is Expect.PARSE and slot.prepared is not None else 0
            self._hand_over_fields(running.action_id if running is not None else parsed, frame)
        elif slot.on_behalf:
            self._hand_over_fields(0, frame)
            x.withdraw("the target refused to plan it")
            if slot.expect is Expect.OWN_QUERY:
                # What follows is the ReadyForQuery that the client's own message would have got.
                slot.expect = Expect.POISON_QUERY
        else:
            raise ProtocolError("the target's catalogue could not be read; nothing can be judged without it")
        if running is not None:
            x.fail(running, field_of(frame, "C"))
        if slot.running is not None:
            x.copy_in = None
        if slot.expect in EXTENDED:
            self._skip()

    def _skip(self) -> None:
        """The server ignores everything up to the next Sync, whether it is here already or not."""
        x = self._x
        while x.slots and x.slots[0].expect not in _SYNCS:
            dropped = x.slots.popleft()
            running = dropped.running or (dropped.portal.running if dropped.portal is not None else None)
            if running is not None:
                x.fail(running, "not run: an earlier message of the pipeline failed")
            if dropped.expect is Expect.PARSE and x.statements.get(dropped.name) is dropped.prepared:
                del x.statements[dropped.name]
        if not x.slots or x.slots[0].expect is Expect.OWN_SYNC:
            # The client's own Sync is yet to come.
            x.skipping = True
            x.withdraw("an earlier message of the pipeline failed")
