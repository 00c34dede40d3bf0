"""Where the columns of a result come from: which base columns each may be computed from.

`Query` and its parts are the bones of a statement, made once from the tree; `trace` puts a catalogue's columns to
them. Every column that stands anywhere in an output's expression counts, but for those inside `count(…)` and EXISTS,
which tell numbers and existence only. Conditions, grouping and order choose rows and are not counted. What is not
clear is None; names that a level of the query can't place are never looked for elsewhere by guess.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

#: A column's name (None: it has one that only the server knows) and what it depends on (None: cannot be told).
Traced: TypeAlias = tuple[str | None, frozenset[str] | None]
#: None: not even the number of columns is known.
Columns: TypeAlias = Sequence[Traced] | None
#: How a relation's columns are told. A set: which they are is not known, but none depends on more than that.
ColumnsOf: TypeAlias = Callable[[str | None, str], "Columns | frozenset[str]"]

_SYSTEM: Final = frozenset({"ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"})
_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class Expression:
    """Column references, the last part "*" for a whole row, and the subqueries whose values flow in."""

    references: tuple[tuple[str, ...], ...] = ()
    queries: "tuple[Query, ...]" = ()


@dataclass(frozen=True, slots=True)
class Output:
    """One item of a target list. `star`: the qualifier of `*`, () for a bare one."""

    name: str | None
    expression: Expression
    star: tuple[str, ...] | None = None
    #: A column reference and nothing else.
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A relation or CTE in FROM. `columns` are those its alias renames."""

    schema: str | None
    relation: str
    alias: str
    columns: tuple[str, ...] = ()
    #: Shown by a bare `*`; false for OLD and NEW.
    visible: bool = True
    #: What a statement changes: never a CTE, whatever their names.
    changed: bool = False
    #: As it will be: what the statement stores is in it.
    written: bool = False


@dataclass(frozen=True, slots=True)
class Derived:
    """A subquery in FROM."""

    query: "Query"
    alias: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Computed:
    """A function, XMLTABLE or JSON_TABLE in FROM: every column may depend on everything that goes in."""

    expression: Expression
    alias: str
    #: None: as many as the function has.
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """Two sources. `using` () is none, None is NATURAL."""

    left: "Source"
    right: "Source"
    using: tuple[str, ...] | None
    alias: str = ""
    columns: tuple[str, ...] = ()


Source: TypeAlias = Table | Derived | Computed | Join


@dataclass(frozen=True, slots=True)
class Cte:
    """One item of WITH. `query` None: it has columns nobody here follows."""

    name: str
    query: "Query | None"
    columns: tuple[str, ...]
    recursive: bool


@dataclass(frozen=True, slots=True)
class Meeting:
    """Parameters (their places among all of the text) and the expression they stand in, or are stored by."""

    ordinals: tuple[int, ...]
    expression: Expression


@dataclass(frozen=True, slots=True)
class Store:
    """What a change puts in its relation: the query's columns in those named, or (None) in the server's order."""

    columns: tuple[str, ...] | None
    values: "Query"


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT, a VALUES list, a set operation, or the RETURNING of a change."""

    ctes: tuple[Cte, ...] = ()
    sources: tuple[Source, ...] = ()
    outputs: tuple[Output, ...] = ()
    #: Rows of VALUES.
    rows: tuple[tuple[Expression, ...], ...] = ()
    #: Both sides of UNION, INTERSECT, EXCEPT.
    sides: "tuple[Query, Query] | None" = None
    #: Only of statements with parameters: where these stand, and the subqueries that give no value.
    meetings: tuple[Meeting, ...] = ()
    inner: "tuple[Query, ...]" = ()
    #: Of a change that returns something, in the order in which one may use what another stored.
    stores: tuple[Store, ...] = ()

    @property
    def stores_anything(self) -> bool:
        """A change that returns what it stores, or one in a CTE."""
        return bool(self.stores) or any(cte.query is not None and cte.query.stores_anything for cte in self.ctes)


@dataclass(frozen=True, slots=True)
class _Item:
    """One name that columns can be found under at a level of the query."""

    alias: str
    schema: str | None
    columns: Columns
    #: Of a function without known columns: what any of them depends on.
    any: frozenset[str] | None = None
    visible: bool = True
    written: bool = False


_Level: TypeAlias = tuple[_Item, ...]


def trace(
    query: Query, columns_of: ColumnsOf, everything: frozenset[str] = frozenset(), *, stored: bool = True
) -> tuple[tuple[frozenset[str] | None, ...] | None, dict[int, frozenset[str] | None]]:
    """What each column of the result depends on, None when their number is not known; what each parameter meets.

    `columns_of(schema, relation)` gives a relation's columns in order. Parameters are by their place among all.
    `everything`: what may be stored where that can't be told. Without `stored`, what a change stores is not counted.
    """
    tracing = _Trace(columns_of, everything, stored=stored)
    try:
        found = tracing.query(query, {}, ())
    except RecursionError:
        return None, {}
    return None if found is None else tuple(depends for _, depends in found), tracing.met


def _union(parts: Sequence[frozenset[str] | None]) -> frozenset[str] | None:
    together: frozenset[str] = frozenset()
    for part in parts:
        if part is None:
            return None
        together |= part
    return together


def _renamed(columns: Columns, names: tuple[str, ...]) -> Columns:
    if columns is None or not names:
        return columns
    if len(names) > len(columns):
        return None
    return [*((n, d) for n, (_, d) in zip(names, columns, strict=False)), *columns[len(names) :]]


class _Trace:
    def __init__(self, columns_of: ColumnsOf, everything: frozenset[str], *, stored: bool) -> None:
        self._columns_of = columns_of
        self._everything = everything
        self._stored = stored
        self.met: dict[int, frozenset[str] | None] = {}

    def query(self, query: Query, ctes: Mapping[str, Columns], outer: tuple[_Level, ...]) -> Columns:
        for cte in query.ctes:
            ctes = {**ctes, cte.name: self._cte(cte, ctes, outer)}
        if query.sides is not None:
            left, right = (self.query(side, ctes, outer) for side in query.sides)
            if left is None or right is None or len(left) != len(right):
                return None
            return [(name, _union((a, b))) for (name, a), (_, b) in zip(left, right, strict=True)]
        if query.rows:
            width = len(query.rows[0])
            return [
                (f"column{i + 1}", _union([self._expression(row[i], ctes, outer) for row in query.rows]))
                for i in range(width)
            ]
        level: _Level = ()
        for source in query.sources:
            # LATERAL or not: what stands to the left may be seen.
            level += self._source(source, ctes, (level, *outer))
        for store in query.stores if self._stored else ():
            level = self._store(store, level, ctes, outer)
        self._meet(query, ctes, (level, *outer))
        found: list[Traced] = []
        for output in query.outputs:
            if output.star is None:
                found.append((output.name, self._expression(output.expression, ctes, (level, *outer))))
                continue
            spread = self._spread(output.star, (level, *outer))
            if spread is None:
                return None
            found += spread
        return found

    def _store(self, store: Store, level: _Level, ctes: Mapping[str, Columns], outer: tuple[_Level, ...]) -> _Level:
        """The level with what is stored in the changed relation's columns."""
        values = self.query(store.values, ctes, (level, *outer))
        names = store.columns
        everywhere: frozenset[str] = frozenset()
        into: dict[str | int | None, frozenset[str]] = {}
        if values is None or (names is not None and len(names) != len(values)):
            everywhere = self._everything
        else:
            for place, (_, depends) in enumerate(values):
                key = place if names is None else names[place]
                into[key] = into.get(key, frozenset()) | (self._everything if depends is None else depends)
        return tuple(
            replace(item, columns=list(_written(item.columns, into, everywhere, by_place=names is None)))
            if item.written and item.columns is not None
            else item
            for item in level
        )

    def _meet(self, query: Query, ctes: Mapping[str, Columns], levels: tuple[_Level, ...]) -> None:
        for meeting in query.meetings:
            depends = self._expression(meeting.expression, ctes, levels)
            for ordinal in meeting.ordinals:
                self.met[ordinal] = _union([self.met.get(ordinal, frozenset()), depends])
        for inner in query.inner:
            self.query(inner, ctes, levels)

    def _cte(self, cte: Cte, ctes: Mapping[str, Columns], outer: tuple[_Level, ...]) -> Columns:
        if cte.query is None:
            return None
        if not cte.recursive:
            return _renamed(self.query(cte.query, ctes, outer), cte.columns)
        if cte.query.sides is None:
            return _renamed(self.query(cte.query, {**ctes, cte.name: None}, outer), cte.columns)
        # A recursive one depends on itself: grow from its first side until nothing is added.
        first = Query(cte.query.ctes, sides=None, sources=(Derived(cte.query.sides[0], ""),), outputs=(_ALL,))
        known = _renamed(self.query(first, {**ctes, cte.name: None}, outer), cte.columns)
        for _ in range(_ROUNDS):
            grown = _renamed(self.query(cte.query, {**ctes, cte.name: known}, outer), cte.columns)
            if grown is None or grown == known:
                return grown
            known = grown
        return None

    # ------------------------------------------------------------ FROM

    def _source(self, source: Source, ctes: Mapping[str, Columns], outer: tuple[_Level, ...]) -> _Level:
        match source:
            case Table():
                schema = source.schema if source.alias == source.relation else None
                told: Columns | frozenset[str]
                if source.schema is None and source.relation in ctes and not source.changed:
                    told = ctes[source.relation]
                else:
                    told = self._columns_of(source.schema, source.relation)
                if isinstance(told, frozenset):
                    return (_Item(source.alias, schema, None, told, source.visible),)
                columns = _renamed(told, source.columns)
                return (_Item(source.alias, schema, columns, visible=source.visible, written=source.written),)
            case Derived():
                columns = self.query(source.query, ctes, outer)
                return (_Item(source.alias, None, _renamed(columns, source.columns)),)
            case Computed():
                depends = self._expression(source.expression, ctes, outer)
                if source.columns is None:
                    return (_Item(source.alias, None, None, depends),)
                return (_Item(source.alias, None, [(name, depends) for name in source.columns]),)
            case Join():
                left = self._source(source.left, ctes, outer)
                right = self._source(source.right, ctes, (left + outer[0], *outer[1:]))
                return self._join(source, left, right)

    def _join(self, join: Join, left: _Level, right: _Level) -> _Level:
        if not join.alias and join.using == ():
            return left + right
        a, b = _shown(left), _shown(right)
        merged: Columns = None
        if a is not None and b is not None:
            using = join.using
            if using is None:
                theirs = {name for name, _ in b}
                using = tuple(name for name, _ in a if name is not None and name in theirs)
            kept = [(n, d) for n, d in a if n not in using] + [(n, d) for n, d in b if n not in using]
            shared: list[Traced] = [(n, _union([d for name, d in (*a, *b) if name == n])) for n in using]
            merged = _renamed([*shared, *kept], join.columns)
        if join.alias:
            return (_Item(join.alias, None, merged),)
        hidden = tuple(_Item(i.alias, i.schema, i.columns, i.any, visible=False) for i in left + right)
        return (*hidden, _Item("", None, merged))

    # ------------------------------------------------------------ expressions

    def _expression(
        self, expression: Expression, ctes: Mapping[str, Columns], levels: tuple[_Level, ...]
    ) -> frozenset[str] | None:
        parts = [self._reference(path, levels) for path in expression.references]
        for query in expression.queries:
            columns = self.query(query, ctes, levels)
            parts.append(None if columns is None else _union([depends for _, depends in columns]))
        return _union(parts)

    def _reference(self, path: tuple[str, ...], levels: tuple[_Level, ...]) -> frozenset[str] | None:
        if path[-1] == "*":
            spread = self._spread(path[:-1], levels)
            return None if spread is None else _union([depends for _, depends in spread])
        # What a function without known columns may have put in its way on an inner level.
        passed: list[frozenset[str] | None] = []
        unplaced = False
        for level in levels:
            items = [item for item in level if _named(item, path[:-1])]
            found = [d for item in items for name, d in item.columns or () if name == path[-1]]
            if found:
                return _union([*found, *passed])
            if any(item.columns is not None and any(name is None for name, _ in item.columns) for item in items):
                return None
            passed += [item.any for item in items if item.columns is None]
            if path[-1] in _SYSTEM and items:
                return _union(passed)
            # The name of a source is its whole row, unless a level further out has such a column; so is what looks
            # like a column that the source does not have: `c.to_json` is `to_json(c)`.
            rows = [*items] if len(path) > 1 else [item for item in level if item.alias == path[0]]
            passed += map(_whole, rows)
            unplaced |= len(path) > 1 and any(item.columns is not None for item in rows)
        return _union(passed) if passed and not unplaced else None

    @staticmethod
    def _spread(qualifier: tuple[str, ...], levels: tuple[_Level, ...]) -> Columns:
        if not qualifier:
            return _shown(levels[0])
        for level in levels:
            for item in level:
                if _named(item, qualifier):
                    return item.columns
        return None


def _written(
    columns: Sequence[Traced],
    into: Mapping[str | int | None, frozenset[str]],
    everywhere: frozenset[str],
    *,
    by_place: bool,
) -> Iterator[Traced]:
    """Columns with what is stored in them, and in those they are generated from."""
    put = {place: into[key] for place, (name, _) in enumerate(columns) if (key := place if by_place else name) in into}
    for place, (name, depends) in enumerate(columns):
        sources = [columns[at][1] for at in put]
        inherited = [
            what
            for (at, what), source in zip(put.items(), sources, strict=True)
            if at == place or (source and depends and source <= depends)
        ]
        yield name, _union([depends, everywhere, *inherited])


def _named(item: _Item, qualifier: tuple[str, ...]) -> bool:
    """May a column with this qualifier be the item's?"""
    if not qualifier:
        return item.visible
    return item.alias == qualifier[-1] and (len(qualifier) == 1 or item.schema in (None, qualifier[-2]))


def _whole(item: _Item) -> frozenset[str] | None:
    return item.any if item.columns is None else _union([depends for _, depends in item.columns])


def _shown(level: _Level) -> Columns:
    """Columns of a bare `*`."""
    found: list[Traced] = []
    for item in level:
        if not item.visible:
            continue
        if item.columns is None:
            return None
        found += item.columns
    return found


_ALL: Final = Output(None, Expression(), ())
