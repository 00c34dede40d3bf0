"""The outcome of analysing SQL. Names are as the parser folds them; nobody here knows a catalogue."""

from dataclasses import dataclass
from typing import Literal

from ostiary.core import Operation


class UnparsableError(ValueError):
    """The text is not SQL that can be judged. The message is safe to show."""


@dataclass(frozen=True, slots=True)
class Name:
    """A possibly qualified name."""

    schema: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Touch:
    """One operation on one named thing."""

    operation: Operation
    name: Name
    kind: Literal["relation", "function", "other"] = "relation"


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
class Copy:
    """COPY. `format` is text, csv or binary; `relation` None means a query."""

    inward: bool
    relation: Name | None
    columns: tuple[str, ...]
    format: str


@dataclass(frozen=True, slots=True)
class Other:
    """Anything else that changes what later statements mean: SET, BEGIN, DISCARD and so on."""

    tag: str


SessionEffect = Prepare | Execute | Deallocate | DeclareCursor | FetchCursor | Copy | Other


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of the text."""

    tag: str
    touches: tuple[Touch, ...]
    functions: tuple[Name, ...]
    #: False when an UPDATE, DELETE or TRUNCATE anywhere in it is not limited by a condition on a column.
    has_where: bool
    #: It makes SQL that can't be seen.
    dynamic: bool
    session: SessionEffect | None
    summary: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """A whole text. Equal shapes have equal statements."""

    statements: tuple[Statement, ...]
    shape: str
