"""What is done to each column of a result. Made once for each description of a result, and shared.

A class reaches a column in one of two ways. *Directly*: the column is the classified object, and the class's own
transform applies. *By derivation*: the column is computed from it, or a view stands between. Then showing a part, a
hash or a token of the computed value could show the whole source piece by piece (`substr(email, 1, 1) || 'xxxxxxx'`),
and a date or number that is shifted or put into a bucket after it was computed is not hidden by that (`(birth - date
'2000-01-01') * 1000`), so all of them become redaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ostiary.core import Action, Column, Result, ResultKind, Rows, Shape, ValueKind
from ostiary.masking.classes import ClassMap
from ostiary.masking.diagnostics import scrub
from ostiary.masking.model import STRENGTH, ClassRule, Transform
from ostiary.masking.scan import Scanner, is_ascii_safe
from ostiary.masking.transforms import REDACTED, Cells, Replacer, Transforms

MAX_SHAPES = 2048
MAX_COLUMN_LISTS = 16
MAX_PLANS = 32
#: After so many batches in a row that pass it, the prefilter over whole rows is left out.
_USELESS = 4
#: Words of a command that count as names in its diagnostics.
_MAX_WORDS = 256
_NOTHING: frozenset[str] = frozenset()
_REDACTED = REDACTED.encode()
_KEEP, _REDACT = ClassRule(Transform.KEEP), ClassRule(Transform.REDACT)


@dataclass(frozen=True, slots=True)
class _Carries:
    """The classes of one column."""

    direct: frozenset[str]
    derived: frozenset[str]
    #: Lifting all of its classes lifts the detectors too: nothing else can be in it.
    nothing_else: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, for those who may see certain classes."""

    #: (column, what becomes of its cells, what `masked` says)
    steps: tuple[tuple[int, Replacer, str], ...]
    #: Columns the detectors look at.
    scanned: tuple[int, ...]
    #: Some of them can't be found through the haystack.
    always: bool


@dataclass(slots=True)
class Outline:
    """A result's columns and the classes they carry; `plans` by the classes that are lifted."""

    carried: tuple[_Carries, ...]
    #: Every class that masks something here.
    relevant: tuple[str, ...]
    plans: dict[frozenset[str], Plan]
    #: Nothing under these columns ever needs masking, for anyone.
    clear: bool


class Meets(NamedTuple):
    """What a bind value meets."""

    classified: bool
    #: Every class of it is one of texts only.
    text_only: bool


class Book:
    """Everything known about one target."""

    def __init__(
        self, classes: ClassMap, rules: Mapping[str, ClassRule], transforms: Transforms, scanner: Scanner
    ) -> None:
        self.classes = classes
        self.scanner = scanner
        self.transforms = transforms
        self.rules = {name: rules.get(name, _REDACT) for name in classes.everything}
        #: Classes that mask something.
        self.masking = frozenset(name for name, rule in self.rules.items() if rule.transform is not Transform.KEEP)
        self._words = classes.words()
        self._outlines: dict[Shape, dict[tuple[Column, ...], Outline]] = {}
        self._touched: dict[Shape, frozenset[str]] = {}
        self._inputs: dict[Shape, tuple[Meets, ...]] = {}

    def outlines(self, shape: Shape) -> dict[tuple[Column, ...], Outline]:
        """The outlines of one shape, for `outline`."""
        known = self._outlines.get(shape)
        if known is None:
            if len(self._outlines) >= MAX_SHAPES:
                del self._outlines[next(iter(self._outlines))]
            known = self._outlines[shape] = {}
        return known

    def outline(self, shape: Shape, columns: tuple[Column, ...]) -> Outline:
        """Work out which classes each column carries."""
        carried = tuple(self._carries(shape, columns, index) for index in range(len(columns)))
        relevant = self.masking & frozenset().union(*(each.direct | each.derived for each in carried))
        outline = Outline(carried, tuple(sorted(relevant)), {}, clear=False)
        plan = self.plan(outline, columns, _NOTHING)
        outline.clear = not plan.steps and not plan.scanned
        known = self.outlines(shape)
        if len(known) >= MAX_COLUMN_LISTS:
            del known[next(iter(known))]
        known[columns] = outline
        return outline

    def _carries(self, shape: Shape, columns: tuple[Column, ...], index: int) -> _Carries:
        column = columns[index]
        classes = self.classes
        if column.object is not None:
            exact = classes.exact(column.object)
            if exact:
                # Its owner spoke of this very column, perhaps to say more of a view's column than its sources tell.
                return _Carries(exact, _NOTHING, nothing_else=True)
            direct = classes.touching(column.object)
            stored = _NOTHING
            if shape.stored:
                one_each = len(shape.stored) == len(columns)
                stored = shape.stored[index] if one_each else frozenset().union(*shape.stored)
            return _Carries(direct, classes.of_all((*column.origins, *stored)), nothing_else=bool(direct))
        names = shape.outputs[index] if shape.outputs is not None and len(shape.outputs) == len(columns) else None
        if names is not None:
            by_name = [classes.touching(name) for name in names]
            return _Carries(_NOTHING, frozenset().union(*by_name), nothing_else=bool(by_name) and all(by_name))
        return _Carries(_NOTHING, self.reached(shape.sources), nothing_else=False)

    def reached(self, names: tuple[str, ...] | None) -> frozenset[str]:
        """Classes of all the objects; of the whole target when they are not known."""
        return self.classes.everything if names is None else self.classes.of_all(names)

    def touched(self, shape: Shape) -> frozenset[str]:
        """Masking classes of whatever a command touches."""
        known = self._touched.get(shape)
        if known is None:
            known = self.reached(shape.sources) | self.reached(shape.checks)
            known |= self.classes.of_all(access.object for access in shape.accesses)
            known &= self.masking
            if len(self._touched) >= MAX_SHAPES:
                del self._touched[next(iter(self._touched))]
            self._touched[shape] = known
        return known

    def inputs(self, shape: Shape, count: int) -> tuple["Meets", ...]:
        """What each of `count` bind values meets: the columns it is told to, else everything the command touches."""
        known = self._inputs.get(shape)
        if known is None or len(known) != count:
            inputs = shape.inputs
            if inputs is None or len(inputs) != count:
                inputs = (None,) * count
            known = tuple(
                self._meets(self.touched(shape) if names is None else self.classes.of_all(names) & self.masking)
                for names in inputs
            )
            if len(self._inputs) >= MAX_SHAPES:
                del self._inputs[next(iter(self._inputs))]
            self._inputs[shape] = known
        return known

    def _meets(self, classes: frozenset[str]) -> "Meets":
        return Meets(bool(classes), all(self.rules[name].text_only for name in classes))

    def plan(self, outline: Outline, columns: tuple[Column, ...], lifted: frozenset[str]) -> Plan:
        """What to do for those who may see the lifted classes."""
        known = outline.plans.get(lifted)
        if known is not None:
            return known
        steps: list[tuple[int, Replacer, str]] = []
        scanned: list[int] = []
        for index, (column, carries) in enumerate(zip(columns, outline.carried, strict=True)):
            rule, label = self._rule(carries, lifted)
            if rule.transform is not Transform.KEEP:
                replacer = self.transforms.replacer(rule, label, column)
                steps.append((index, replacer, f"{label}: {replacer.shown}"))
            elif self.scanner.on and not column.inert and not carries.nothing_else:
                scanned.append(index)
        always = any(
            columns[index].kind is ValueKind.TEXT and not is_ascii_safe(columns[index].charset) for index in scanned
        )
        if len(outline.plans) >= MAX_PLANS:
            del outline.plans[next(iter(outline.plans))]
        plan = outline.plans[lifted] = Plan(tuple(steps), tuple(scanned), always)
        return plan

    def _rule(self, carries: _Carries, lifted: frozenset[str]) -> tuple[ClassRule, str]:
        """The strongest rule of a column's classes, and the class it is of."""
        strongest, label = _KEEP, ""
        others = 0
        for name in sorted((carries.direct | carries.derived) - lifted):
            rule = self.rules[name]
            if rule.transform is Transform.KEEP:
                continue
            if name in carries.derived and rule.transform is not Transform.NULL:
                rule = _REDACT
            others += 1
            if STRENGTH[rule.transform] > STRENGTH[strongest.transform]:
                strongest, label = rule, name
            elif rule.transform is strongest.transform and not rule.alike(strongest):
                # Neither of the two settings, or keys, hides what the other does.
                strongest = _REDACT
        if strongest.transform is Transform.TOKEN and others > 1:
            # Whoever may see this class alone could have it revealed.
            strongest = _REDACT
        return strongest, label

    def names(self, action: Action) -> frozenset[str]:
        """Words that are names, not values, in diagnostics about the action."""
        return self._words.union(_words(action.text))


def _words(text: str) -> list[str]:
    start = text[:8192].replace('"', " ").replace(",", " ").replace(";", " ").replace("(", " ").replace(")", " ")
    return [word for part in start.split(maxsplit=_MAX_WORDS)[:_MAX_WORDS] for word in (part, *part.split("."))]


class Masker:
    """Masks the results of one action (`gate.ports.ResultMasker`). `may_unmask` is asked anew for every batch."""

    __slots__ = ("_action", "_book", "_columns", "_hits", "_may_unmask", "_outline", "_outlines", "masked")

    def __init__(self, book: Book, may_unmask: Callable[[str], bool], action: Action) -> None:
        self._book = book
        self._may_unmask = may_unmask
        self._action = action
        self._outlines = book.outlines(action.shape)
        self._columns: tuple[Column, ...] | None = None
        self._outline: Outline | None = None
        #: Batches in a row in which the prefilter saw something.
        self._hits = 0
        #: Column name → what changed its values.
        self.masked: dict[str, str] = {}

    def mask(self, result: Result) -> tuple[Result, bool]:
        """See `gate.ports.ResultMasker`."""
        if result.kind is ResultKind.DIAGNOSTIC:
            return self._diagnostic(result), False
        columns = result.columns
        outline = self._outline
        if columns is not self._columns or outline is None:
            outline = self._outlines.get(columns)
            if outline is None:
                outline = self._book.outline(self._action.shape, columns)
            self._columns, self._outline = columns, outline
        if outline.clear:
            return result, True
        lifted = frozenset(filter(self._may_unmask, outline.relevant)) if outline.relevant else _NOTHING
        plan = self._book.plan(outline, columns, lifted)
        rows = result.rows
        if plan.steps:
            changed: dict[int, Cells] = {}
            for index, replacer, label in plan.steps:
                changed[index] = replacer.cells(rows.column(index))
                self.masked[columns[index].name] = label
            rows = rows.replaced(changed)
        # After the steps, so that what they masked does not send the detectors through the other columns.
        if plan.scanned and (plan.always or self._hits >= _USELESS or self._seen(rows)):
            rows = self._scan(plan, columns, rows)
        return (result if rows is result.rows else Result(result.kind, columns, rows)), False

    def _seen(self, rows: Rows) -> bool:
        self._hits = self._hits + 1 if self._book.scanner.may_contain(rows.haystack()) else 0
        return self._hits > 0

    def _scan(self, plan: Plan, columns: tuple[Column, ...], rows: Rows) -> Rows:
        changed: dict[int, Cells] = {}
        for index in plan.scanned:
            if not plan.always and not self._book.scanner.may_find(rows.joined(index)):
                continue
            new, label = self._book.scanner.column(columns[index], rows.column(index))
            if label:
                changed[index] = new
                self.masked[columns[index].name] = label
        return rows.replaced(changed) if changed else rows

    def _diagnostic(self, result: Result) -> Result:
        """Fields are never nulled: a protocol may have no null for them."""
        hidden = sorted(self._book.touched(self._action.shape))
        hidden = [name for name in hidden if not self._may_unmask(name)]
        names: frozenset[str] | None = None
        changed: dict[int, Cells] = {}
        for index, column in enumerate(result.columns):
            (cell,) = result.rows.column(index)
            if column.inert or not cell:
                continue
            label = f"{', '.join(hidden)}: redact"
            if not hidden:
                new, label = self._book.scanner.text(cell)
            elif column.kind is ValueKind.MESSAGE:
                if names is None:
                    names = self._book.names(self._action) | _codes(result)
                try:
                    new = self._book.scanner.text(scrub(cell.decode(), names).encode())[0]
                except UnicodeDecodeError:
                    new = _REDACTED
            else:
                new = _REDACTED
            if new != cell:
                changed[index] = [new]
                self.masked[column.name] = label
        return Result(result.kind, result.columns, result.rows.replaced(changed)) if changed else result


def _codes(result: Result) -> frozenset[str]:
    """Values of the fields that hold names and codes only."""
    cells = [result.rows.column(index)[0] for index, column in enumerate(result.columns) if column.inert]
    return frozenset(cell.decode("utf-8", "replace") for cell in cells if cell is not None)
