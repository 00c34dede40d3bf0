"""What comes back from a target, as maskers and recorders see it.

Rows are column-oriented on purpose: a masker that needs one column of a thousand rows asks for that
column, replaces it, and the other columns are never decoded. Each protocol brings its own `Rows`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, Self

from ostiary.core.frozen import frozen


class ValueKind(StrEnum):
    """What a masker can do with a column's values."""

    #: Cell bytes are the text itself in the column's charset (UTF-8 unless `Column.charset` says otherwise).
    TEXT = "text"
    #: A sentence of the target's own making, UTF-8, in which values stand between quotes or in parentheses.
    MESSAGE = "message"
    #: Structured text (json, xml, arrays, composites in text format): searchable, replaceable by null or its codec.
    STRUCTURED = "structured"
    #: Cell bytes can't be read as text (numbers, dates, binary format): replaceable by null or its codec.
    OPAQUE = "opaque"


class Datum(StrEnum):
    """What a decoded value is, whatever the protocol calls its type."""

    #: str
    TEXT = "text"
    #: int
    INTEGER = "integer"
    #: decimal.Decimal, finite
    DECIMAL = "decimal"
    #: float, finite
    FLOAT = "float"
    #: int, days since 1970-01-01 (proleptic Gregorian), or ±math.inf
    DATE = "date"
    #: int, microseconds since 1970-01-01 00:00 (UTC where there is a zone), or ±math.inf
    TIMESTAMP = "timestamp"
    #: bytes, 16 of them
    UUID = "uuid"
    #: (4 or 16 bytes, length of the network's prefix)
    ADDRESS = "address"
    #: bytes
    BYTES = "bytes"


@dataclass(frozen=True, slots=True, eq=False)
class ValueCodec:
    """One type in one format: cell bytes to a value and back. Shared, and known by identity.

    Both functions raise ValueError (or OverflowError): `decode` for what it can't read, `encode` for what the type
    can't hold.
    """

    datum: Datum
    #: Gives what `datum` says; in an array (what `encode` needs to know of its shape, list of values and nulls).
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    #: TEXT: the most characters, 0 for any number. INTEGER: bits, two's complement.
    size: int = 0
    array: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column (or field) of a result."""

    name: str
    #: `orders/public.customers.email`; None when the column is computed or its origin is not known.
    object: str | None
    kind: ValueKind
    #: The protocol's type name, for records and clients of the API.
    type: str = ""
    #: True when no value of this type can hold text a detector could find (int, bool, date, uuid …).
    inert: bool = False
    #: Objects this column is derived from when the server's catalogue shows it (a view's base columns).
    origins: tuple[str, ...] = ()
    charset: str = "utf-8"
    #: Cell bytes are in the type's binary format: a record shows them as `\\x…`.
    binary: bool = False
    #: None: values can't be replaced by others of their type, but for texts without a bound to their length.
    codec: ValueCodec | None = None


class Rows(Protocol):
    """A batch of rows. Immutable: `replaced` gives a new batch."""

    def __len__(self) -> int: ...

    def column(self, index: int) -> list[bytes | None]:
        """Cells of one column, one per row; None is the protocol's null."""
        ...

    def joined(self, index: int) -> bytes:
        """Cells of one column that are not null, with NUL between them."""
        ...

    def replaced(self, columns: Mapping[int, list[bytes | None]]) -> Self:
        """The same rows with whole columns replaced."""
        ...

    def haystack(self) -> bytes:
        """Bytes that contain every textual cell verbatim: a detector's prefilter may search it in one pass."""
        ...


class ResultKind(StrEnum):
    """Where the values came from."""

    ROWS = "rows"
    #: Fields of an error or a notice: one row, every column text, contents unclassified and untrusted.
    DIAGNOSTIC = "diagnostic"


@frozen
class Result:
    """A batch on its way to the client."""

    kind: ResultKind
    columns: tuple[Column, ...]
    rows: Rows


@frozen
class Outcome:
    """How an action ended."""

    #: "ok", "error" or "cancelled".
    status: str
    #: The protocol's own completion tag or error code: "SELECT 3", "42P01".
    tag: str
    rows: int = 0
    bytes: int = 0
