"""What the relay remembers: replies that are owed, prepared statements, portals."""

from dataclasses import dataclass, field
from enum import Enum, auto

from ostiary.core import Action, Column, Parameter, Permit


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
    #: The catalogue, read for ourselves.
    OWN_CATALOG = auto()


#: Those that belong to the extended protocol: an error drops them up to the next SYNC.
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
    #: Parse was answered; until then only messages behind it in the same segment may rely on it.
    confirmed: bool = False
    #: Number of the Sync-delimited segment that carried the Parse.
    segment: int = 0
    #: RowDescription's body, once described (format codes are then those of text).
    description: bytes | None = None
    described: bool = False
    parameter_types: tuple[int, ...] = ()
    effects: tuple[object, ...] = ()


@dataclass(slots=True)
class Portal:
    """A bound statement, or an SQL cursor."""

    running: Running
    prepared: Prepared | None
    formats: tuple[int, ...] = ()
    described: Described | None = None
    own_describe: bool = False


@dataclass(slots=True)
class Slot:
    """One reply that is owed."""

    expect: Expect
    running: Running | None = None
    prepared: Prepared | None = None
    portal: Portal | None = None
    described: Described | None = None
    #: What the client gets in place of the target's own error (poison), already encoded.
    substitute: bytes = b""
    name: str = ""
    #: Cells of an answer of ours.
    cells: list[bytes] = field(default_factory=list)


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
