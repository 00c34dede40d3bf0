"""Rows, rights and results for tests of masking."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ostiary.core import (
    Access,
    Action,
    Column,
    Operation,
    Result,
    ResultKind,
    Ruling,
    Secret,
    Shape,
    Target,
    ValueKind,
    Verdict,
)
from ostiary.masking import Classification, ClassRule, ColumnMasking, Detection, MaskingConfig, Transform

TARGET = Target("orders", "any", "127.0.0.1", 1, "shop")
KEY = Secret(b"0123456789abcdef0123456789abcdef")
EMAIL = "orders/public.customers.email"
CLASSIFICATION = (
    Classification("orders", "public.customers.email", "pii.email"),
    Classification("orders", "public.customers.card", "pci.card"),
)
RULES = {"pii.email": ClassRule(Transform.PARTIAL, text_only=True), "pci.card": ClassRule(Transform.NULL)}
OFF = Detection({})


class Cells:
    """Rows as plain columns. `haystack_only`: a column that is asked for fails the test."""

    def __init__(self, *columns: list[bytes | None], haystack_only: bool = False) -> None:
        self.columns = columns
        self.haystack_only = haystack_only

    def __len__(self) -> int:
        return len(self.columns[0])

    def column(self, index: int) -> list[bytes | None]:
        assert not self.haystack_only
        return self.columns[index]

    def joined(self, index: int) -> bytes:
        return b"\0".join(cell for cell in self.column(index) if cell is not None)

    def replaced(self, columns: Mapping[int, list[bytes | None]]) -> "Cells":
        return Cells(*(columns.get(index, cells) for index, cells in enumerate(self.columns)))

    def haystack(self) -> bytes:
        return b"\x00\x00\x00\x05".join(cell or b"" for column in self.columns for cell in column)


@dataclass
class FakeRights:
    """May see the classes it is given."""

    unmask: set[str] = field(default_factory=set)

    def decide(self, action: Action) -> Ruling:
        del action
        return Ruling(Verdict.ALLOW, (), "")

    def may_unmask(self, data_class: str) -> bool:
        return data_class in self.unmask

    def may_declassify(self, data_class: str) -> bool:
        return data_class in self.unmask


def masking(default_detection: Detection = OFF, **changes: Any) -> ColumnMasking:
    """Customers' email (partial) and card (null) are classified; no detectors unless given."""
    settings: dict[str, Any] = {
        "classification": CLASSIFICATION,
        "rules": RULES,
        "default_detection": default_detection,
        "key": KEY,
        **changes,
    }
    return ColumnMasking(MaskingConfig(**settings))


def column(name: str, obj: str | None = None, kind: ValueKind = ValueKind.TEXT, **more: Any) -> Column:
    """A text column unless told otherwise."""
    return Column(name, obj, kind, **more)


def action(*sources: str, unknown: bool = False, text: str = "select 1", **more: Any) -> Action:
    """A read of the sources (`public.customers`), or of what cannot be told."""
    names = tuple(f"orders/{source}" for source in sources)
    accesses = tuple(Access(Operation.READ, name) for name in names)
    return Action(Shape(accesses, "a read", sources=None if unknown else names, **more), text)


def run(
    service: ColumnMasking,
    columns: list[Column],
    cells: list[list[bytes | None]],
    what: Action | None = None,
    rights: FakeRights | None = None,
    kind: ResultKind = ResultKind.ROWS,
) -> list[list[bytes | None]]:
    """Columns after masking."""
    masker = service.masker(rights or FakeRights(), TARGET, what or action("public.customers"))
    masked, _ = masker.mask(Result(kind, tuple(columns), Cells(*cells)))
    return [masked.rows.column(index) for index in range(len(columns))]
