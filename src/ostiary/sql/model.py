"""The outcome of analysing SQL. Names are as the parser folds them; nobody here knows a catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ostiary.core import Operation
from ostiary.sql.copy_statement import CopyStatement
from ostiary.sql.flows import Flow
from ostiary.sql.lineage import Query


class UnparsableError(ValueError):
    """The text is not SQL that can be judged. The message is safe to show."""


@dataclass(frozen=True, slots=True)
class Name:
    """A possibly qualified name."""

    schema: str | None
    name: str

    @classmethod
    def of(cls, parts: Sequence[str]) -> "Name":
        """The last two parts of a name."""
        return cls(parts[-2] if len(parts) > 1 else None, parts[-1])


@dataclass(frozen=True, slots=True)
class Touch:
    """One operation on one named thing.

    Kinds besides the plain ones: "locked", a relation that is locked, or rows of it, and stays as it is; "contents", a
    schema and everything in it; "cascade", the relations that refer to this one, and those that refer to them; "query",
    the relations in a view's query; "other", whose name is the object's whole path: `role/bob`.
    """

    operation: Operation
    name: Name
    kind: Literal["relation", "locked", "function", "operator", "schema", "contents", "cascade", "query", "other"] = (
        "relation"
    )
    #: It need not exist yet: "made" in the session's creation schema when its name has none, "renamed" in any.
    new: Literal["", "made", "renamed"] = ""


@dataclass(frozen=True, slots=True)
class Prepare:
    """SQL-level PREPARE."""

    name: str
    inner: "Statement"


@dataclass(frozen=True, slots=True)
class Execute:
    """SQL-level EXECUTE of a prepared statement."""

    name: str


@dataclass(frozen=True, slots=True)
class Deallocate:
    """DEALLOCATE name, or ALL (None)."""

    name: str | None


@dataclass(frozen=True, slots=True)
class DeclareCursor:
    """DECLARE name CURSOR FOR a query."""

    name: str
    inner: "Statement"


@dataclass(frozen=True, slots=True)
class FetchCursor:
    """FETCH or MOVE."""

    name: str


@dataclass(frozen=True, slots=True)
class CloseCursor:
    """CLOSE name, or ALL (None)."""

    name: str | None


@dataclass(frozen=True, slots=True)
class Setting:
    """SET, RESET or set_config of one setting (lower case). `value`: None is the default, "" one that is not told."""

    name: str
    value: str | None


#: What changes what later statements mean, or gives this one a meaning from earlier ones.
SessionEffect = Prepare | Execute | Deallocate | DeclareCursor | FetchCursor | CloseCursor | Setting


@dataclass(frozen=True, slots=True)
class Within:
    """What code does that runs in a statement without standing there."""

    #: Of what its expressions call, whose values may stand in any of its results.
    called: tuple[Touch, ...] = ()
    #: Of what its changes set off, whose values may stand in columns that they return.
    fired: tuple[Touch, ...] = ()
    #: Columns that what is set off may set; "*" where they can't be told.
    sets: frozenset[str] = frozenset()


NOTHING: Final = Within()


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of the text."""

    #: "SELECT", "CREATE TABLE AS", "DROP TABLE".
    tag: str
    touches: tuple[Touch, ...]
    functions: tuple[Name, ...] = ()
    #: Last names of `a.b` and `(x).b`: functions of the target when no column has that name.
    attributes: tuple[str, ...] = ()
    #: Operators without a schema.
    operators: tuple[str, ...] = ()
    #: Relations it makes that only this session sees.
    temporary: tuple[str, ...] = ()
    effects: tuple[SessionEffect, ...] = ()
    #: False when an UPDATE, DELETE or TRUNCATE anywhere in it is not limited by a condition on a column.
    has_where: bool = True
    #: It makes SQL that can't be seen.
    dynamic: bool = False
    #: It ends a transaction or undoes a part of one.
    ends_transaction: bool = False
    #: Where the columns of its result come from; None when that is not told.
    returns: Query | None = None
    #: Numbers of its parameters, in the order of the text.
    parameters: tuple[int, ...] = ()
    #: It copies out to the client.
    copy: CopyStatement | None = None
    #: Types it names: converting to one may run code.
    types: tuple[Name, ...] = ()
    #: Columns that its updates set; "*" where they can't be told.
    assigned: tuple[str, ...] = ()
    #: Where it puts values.
    flows: tuple[Flow, ...] = ()
    #: Of all this, what a catalogue had to say.
    within: Within = NOTHING


@dataclass(frozen=True, slots=True)
class Analysis:
    """A whole text."""

    statements: tuple[Statement, ...]
    #: The template of the text (see `template`) decides it: no constant had a say.
    by_template: bool = True
