"""What one command does, in terms every protocol shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from ostiary.core.frozen import frozen


class Operation(StrEnum):
    """The vocabulary of operations; names are Cedar actions."""

    CONNECT = "connect"
    READ = "read"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    DEFINE = "define"
    GRANT = "grant"
    EXECUTE = "execute"
    PUBLISH = "publish"
    CONSUME = "consume"
    SESSION = "session"
    ADMIN = "admin"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Access:
    """One operation on one object. Objects are hierarchical names under the target: `orders/public.customers`."""

    operation: Operation
    object: str


@frozen
class Parameter:
    """One bind value as the wire carried it. `value` None is SQL NULL."""

    value: bytes | None
    #: True when the bytes are in the type's binary format.
    binary: bool = False
    #: Type as the protocol names it (PostgreSQL: type OID as text, "" when unknown).
    type: str = ""
    #: True when no value of this type can hold text (short int, bool, date …); as `Column.inert`.
    inert: bool = False


class Move(NamedTuple):
    """Values that a command puts where they stay."""

    #: Columns, or objects for any column of them, that they may come from.
    sources: frozenset[str]
    #: Where: the column (or object) and those it shares its values with, by inheritance; the first is shown.
    into: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What a command does, whatever its constants: the part that is analysed once and ruled on once.

    Compared and hashed by identity, so it is an exact and quick key of memos: whoever analyses keeps one `Shape` for
    equal commands, and makes a new one when what it knows of the target has changed.
    """

    #: Every one of them must be permitted.
    accesses: tuple[Access, ...]
    #: A person's sentence: "DELETE without WHERE on public.orders".
    summary: str
    #: has_where, dynamic, statements, functions … as policy sees them.
    context: Mapping[str, bool | int | str | tuple[str, ...]] = field(default_factory=dict)
    #: Objects whose data may reach the client by computation: `orders/public.customers`. `None`: cannot be told.
    sources: tuple[str, ...] | None = ()
    #: For each column of the result, the columns its value may be computed from, down to base tables where a view
    #: stands between: `orders/public.customers.email`, or `orders/public.customers` for any column of it. Empty: no
    #: column (a constant, `count(*)`). An element of None: cannot be told. None altogether: nothing is said, or it is
    #: not the same for every result of the command. Conditions that only choose rows are not counted.
    outputs: tuple[frozenset[str] | None, ...] | None = None
    #: The same for each bind parameter: the columns it may be compared with or stored in.
    inputs: tuple[frozenset[str] | None, ...] | None = None
    #: For each column of the result, the columns whose values this very command puts there; one for all columns where
    #: it is not the same for every result.
    stored: tuple[frozenset[str], ...] = ()
    #: Objects beside those above whose values its errors may tell of: what refers to a row it changes, what an
    #: earlier command left to be checked. `None`: any of the target's.
    checks: tuple[str, ...] | None = ()
    #: What it puts where. `None`: something, and it can't be told what; whoever knows that it is nothing says so.
    moves: tuple[Move, ...] | None = None


@frozen
class Action:
    """One command as it would run."""

    shape: Shape
    #: The command exactly as it would run.
    text: str
    parameters: tuple[Parameter, ...] = ()
    #: Planner's estimate of rows touched, when it was asked for.
    rows_estimate: int | None = None


class Stage(StrEnum):
    """Whether the command would run now, or is only made ready to run."""

    PREPARE = "prepare"
    RUN = "run"
