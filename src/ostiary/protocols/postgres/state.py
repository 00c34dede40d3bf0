"""What both directions of a session's query phase share: replies that are owed, prepared statements, portals."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from ostiary.core import Action, Column, Outcome, Parameter, Permit, Refusal, Result, Secret
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.shapes import Copied, SessionShape
from ostiary.protocols.postgres.statements import Judge
from ostiary.wire.contract import Effect, Forward, Observe, ProtocolError, Withdraw

IDLE = ord("I")
FAILED = ord("E")
FLUSH = message(b"H", b"")


class Expect(Enum):
    """What the target owes for one message that was forwarded, in order."""

    QUERY = auto()
    PARSE = auto()
    BIND = auto()
    DESCRIBE_STATEMENT = auto()
    DESCRIBE_PORTAL = auto()
    EXECUTE = auto()
    CLOSE = auto()
    FUNCTION_CALL = auto()
    SYNC = auto()
    #: A message of ours that must fail, so that the server aborts what the client believes aborted.
    POISON_QUERY = auto()
    POISON_PARSE = auto()
    #: A Describe of ours: a portal that the client executes without describing it.
    OWN_DESCRIBE = auto()
    #: A question of ours whose answer the client never sees: the catalogue, the planner's estimate.
    OWN_QUERY = auto()
    #: The same inside the extended protocol: one of Parse, Bind, Execute, Close.
    OWN_STEP = auto()
    OWN_SYNC = auto()


#: Those that belong to the extended protocol: an error drops them up to the next Sync.
EXTENDED = frozenset(
    {
        Expect.PARSE,
        Expect.BIND,
        Expect.DESCRIBE_STATEMENT,
        Expect.DESCRIBE_PORTAL,
        Expect.EXECUTE,
        Expect.CLOSE,
        Expect.POISON_PARSE,
        Expect.OWN_DESCRIBE,
        Expect.OWN_STEP,
    }
)


@dataclass(slots=True)
class Running:
    """An action between its permit and its outcome."""

    action_id: int
    action: Action
    permit: Permit
    rows: int = 0
    bytes: int = 0
    #: COPY TO STDOUT that have begun.
    copies: int = 0
    #: Execute messages that were not answered yet.
    owed: int = 0
    #: Its portal is closed or replaced.
    abandoned: bool = False

    def next_copy(self) -> Copied:
        """What is known of the COPY that begins now. Raises ProtocolError."""
        shape = self.action.shape
        known = shape.copies if isinstance(shape, SessionShape) else ()
        if self.copies >= len(known):
            raise ProtocolError("the target sent the rows of a COPY that nothing asked for")
        self.copies += 1
        return known[self.copies - 1]


@dataclass(slots=True)
class Described:
    """Columns of a result, and whether the gate said that they need nothing."""

    columns: tuple[Column, ...]
    clear: bool = False


@dataclass(slots=True)
class Prepared:
    """A statement by its protocol name."""

    action: Action
    text: str
    #: Parameter types as Parse gave them, ready to be given again.
    types: bytes = b"\0\0"
    #: Parse was answered; until then only messages behind it in the same segment may rely on it.
    confirmed: bool = False
    #: Number of the Sync-delimited segment that carried the Parse.
    segment: int = 0
    #: RowDescription as Describe of the statement gave it (format codes not yet known); None when not told.
    description: bytes | None = None
    parameter_types: tuple[int, ...] = ()
    #: Of its Parse.
    action_id: int = 0
    #: `Judge.epoch` when it was judged.
    epoch: int = 0


@dataclass(slots=True)
class Portal:
    """A bound statement."""

    running: Running
    prepared: Prepared
    formats: tuple[int, ...] = ()
    described: Described | None = None
    #: A description is on its way, the client's or our own.
    asked: bool = False
    #: `Exchange.ran` when it was bound; -1 once it has run, from when on names mean nothing to it.
    ran: int = -1
    #: Ruled on as standing for anything.
    anything: bool = False


class Slot:
    """One reply that is owed."""

    __slots__ = (
        "answer", "cells", "described", "expect", "name", "on_behalf", "portal", "prepared", "running", "substitute",
    )  # fmt: skip

    # Written out: several are made for each statement, and compiled this is five times as quick as a dataclass.
    def __init__(
        self,
        expect: Expect,
        running: Running | None = None,
        *,
        prepared: Prepared | None = None,
        portal: Portal | None = None,
        substitute: bytes = b"",
        name: str = "",
        answer: Callable[[list[bytes]], None] | None = None,
        on_behalf: bool = False,
    ) -> None:
        self.expect = expect
        self.running = running
        self.prepared = prepared
        self.portal = portal
        self.described: Described | None = None
        #: What the client gets in place of the target's own error (poison), already encoded.
        self.substitute = substitute
        self.name = name
        #: A question of ours: takes the rows of the answer.
        self.answer = answer
        #: The question was asked on behalf of a client's message: when it fails, that message has failed.
        self.on_behalf = on_behalf
        self.cells: list[bytes] = []


@dataclass(slots=True)
class Asking:
    """A client message that waits for its ruling."""

    action_id: int
    action: Action
    frame: bytes
    kind: int
    prepared: Prepared | None = None
    name: str = ""
    formats: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()


class Exchange:
    """The shared state of one admitted session. `requests` fills it from the client's side, `replies` empties it.

    Args:
        permit: the session permit.
        judge: turns SQL into actions.
        cancel_key: BackendKeyData body the target gave (process id and secret), for CancelRequest.
    """

    __slots__ = (
        "asking", "cancel_key", "copy_in", "dirty", "effects", "ended", "judge", "open", "out", "permit",
        "portals", "ran", "releasing", "segment", "skipping", "slots", "statements", "status", "unflushed",
    )  # fmt: skip

    def __init__(self, permit: Permit, judge: Judge, cancel_key: Secret | None) -> None:
        self.permit = permit
        self.judge = judge
        self.cancel_key = cancel_key
        self.slots: deque[Slot] = deque()
        self.asking: Asking | None = None
        #: What to do with the result the gate has; nothing else of the target's is looked at meanwhile.
        self.releasing: Callable[[Result | Refusal, bool], None] | None = None
        self.statements: dict[str, Prepared] = {}
        self.portals: dict[str, Portal] = {}
        #: Actions that were permitted and have not ended.
        self.open: dict[int, Running] = {}
        self.status = IDLE
        self.segment = 0
        #: How many messages went up that run something.
        self.ran = 0
        #: Something was forwarded since the last Sync (or simple query): the server may be in an implicit transaction.
        self.dirty = False
        #: Something was forwarded whose answer the server may keep back until a Sync or Flush.
        self.unflushed = False
        #: Client messages are dropped until Sync, as the server does after an error.
        self.skipping = False
        self.copy_in: Running | None = None
        self.effects: list[Effect] = []
        #: Bytes for the client, in order, not yet an effect.
        self.out: list[bytes] = []
        #: The session is over, and why: nothing more is settled or taken, and `Close` is the last effect.
        self.ended: str | None = None

    def forward(self, permit: Permit, frame: bytes, slot: Slot | None = None) -> None:
        """Send upstream, and remember what is owed for it."""
        self.effects.append(Forward(permit, frame))
        self.dirty = self.unflushed = True
        if slot is not None:
            self.slots.append(slot)

    def runs(self, action: Action, portal: str | None = None, *, planned: bool = False) -> None:
        """The action is to run now in that portal, or to be planned: names may stand for something else afterwards."""
        self.judge.creation = None
        if not planned:
            self.ran += 1
        shape = action.shape
        if not (shape.context.get("barrier") or isinstance(shape, SessionShape)):
            return
        self.judge.runs(shape, portal, planned=planned)
        if isinstance(shape, SessionShape) and shape.ends and not planned:
            # The server drops them, or those of a part of the transaction.
            self.judge.lost(self.portals)

    def forget_portals(self) -> None:
        """The transaction is over, and they are gone."""
        self.judge.lost(self.portals)
        self.portals.clear()

    def finish(self, running: Running, status: str, tag: str) -> None:
        """An action ended, once."""
        if self.open.pop(running.action_id, None) is None:
            return
        if running.action.shape.context.get("changes"):
            self.judge.forget()
        self.effects.append(Observe(running.action_id, Outcome(status, tag, running.rows, running.bytes)))

    def abandon(self, running: Running) -> None:
        """Its portal is closed or replaced: what was executed in it before is still answered, nothing else."""
        running.abandoned = True
        if not running.owed:
            self.finish(running, "ok", "not run to its end")

    def fail(self, running: Running, why: str) -> None:
        """An action failed or was skipped: what its portals stand for at the target is not what was ruled on."""
        self.finish(running, "error", why)
        gone = [name for name, portal in self.portals.items() if portal.running is running]
        for name in gone:
            del self.portals[name]
        shape = running.action.shape
        self.judge.lost([*gone, *shape.declares] if isinstance(shape, SessionShape) else gone)

    def end(self, refusal: Refusal) -> None:
        """End the session with a sentence, behind everything that was told before."""
        self.out.append(refuse.error(refusal, "FATAL"))
        self.ended = refusal.message

    def withdraw(self, why: str) -> Asking | None:
        """Whatever waits for a ruling is not wanted any more."""
        asking, self.asking = self.asking, None
        if asking is not None:
            self.effects.append(Withdraw(asking.action_id, why))
        return asking

    def flush(self, frame: bytes = FLUSH) -> None:
        """Have the server send the answers it keeps back inside a pipeline; nothing is owed for it."""
        self.effects.append(Forward(self.permit, frame))
        self.unflushed = False

    @property
    def quiet(self) -> bool:
        """Nothing is owed and nothing is half done: a question of our own disturbs nobody."""
        return not self.slots and not self.dirty
