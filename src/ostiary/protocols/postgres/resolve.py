"""Names of an analysis to objects of a target, with a catalogue's help and never by guess.

A name may stand for several things; all of them are meant. One the catalogue does not know is `?.name`. A view stands
for itself and for the relations in its query.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from ostiary.core import Access, Operation, naming
from ostiary.protocols.postgres.catalog import REVEALING, Catalog
from ostiary.protocols.postgres.reach import Reach
from ostiary.sql import Columns, Name, Place, Statement, Touch, direct, trace
from ostiary.sql.bodies import hidden
from ostiary.sql.builtins import NAMES
from ostiary.sql.model import NOTHING

TEMPORARY = "pg_temp"
#: Relations are reached through views by these; what changes a view leaves the relations behind it as they are.
_THROUGH = frozenset({Operation.READ, Operation.INSERT, Operation.UPDATE, Operation.DELETE})


_NONE: Final[frozenset[str]] = frozenset()
_Columns: TypeAlias = tuple[frozenset[str] | None, ...]


class Stored(NamedTuple):
    """A relation's column."""

    name: str
    table: int
    attnum: int
    type: int
    #: Of its type, as RowDescription says it.
    modifier: int


class Resolver:
    """Names as one session means them.

    Args:
        target: name of the target.
        catalog: a snapshot.
        trusted: False when definitions may have changed since, so that nothing is told apart by it.
        temporary: names of relations that only this session sees.
    """

    def __init__(self, target: str, catalog: Catalog, *, trusted: bool, temporary: frozenset[str]) -> None:
        self.prefix = f"{target}/"
        self.catalog = catalog
        self._trusted = trusted
        self._temporary = temporary
        #: The statement, and what runs unseen in it: what everything here is to be asked about.
        self.joined = Reach(catalog, trusted=trusted).joined

    @property
    def stamp(self) -> object:
        """Changes whenever what names stand for might; None: nothing is told apart."""
        return self.catalog if self._trusted else None

    def bare(self, name: str) -> str:
        """An object's name without the target."""
        return name[len(self.prefix) :]

    def accesses(self, statement: Statement, creation: str | None = None) -> Iterator[Access]:
        """Everything the statement does, by object. `creation`: the schema in which unqualified names come to be."""
        for touch in statement.touches:
            for name in self.objects(touch, creation):
                yield Access(touch.operation, self.prefix + name)
            if touch.kind in ("relation", "locked") and touch.operation in _THROUGH:
                for name in self._behind(touch.name):
                    yield Access(touch.operation, self.prefix + name)
        for name in self._shadowing(statement):
            yield Access(Operation.EXECUTE, self.prefix + name)

    def objects(self, touch: Touch, creation: str | None = None) -> tuple[str, ...]:
        """What a touch's name stands for, without the target's prefix."""
        if creation is not None and touch.new == "made" and touch.name.schema is None:
            return (_dotted(creation, touch.name.name + ("()" if touch.kind == "function" else "")),)
        match touch.kind:
            case "relation" | "locked":
                found = self._relations(touch.name)
            case "function":
                found = self._functions(touch.name)
            case "operator":
                return (_dotted(touch.name.schema, f"operator {touch.name.name}"),)
            case "schema":
                return (naming.join(touch.name.name),)
            case "contents":
                return (naming.join(touch.name.name), *self.catalog.contents(touch.name.name))
            case "cascade":
                oids = self.catalog.find(touch.name.schema, touch.name.name)
                found = tuple(filter(None, (self.catalog.name(by) for oid in oids for by in self.catalog.cascade(oid))))
                return found if self._trusted else (*found, _dotted(None, "*"))
            case "query":
                return tuple(self._behind(touch.name, stored=True))
            case "other":
                return (touch.name.name,)
        if touch.new and touch.name.schema is None:
            # Nobody knows in which schema it will come to be.
            anywhere = _dotted(None, touch.name.name + ("()" if touch.kind == "function" else ""))
            found = (*found, anywhere) if anywhere not in found else found
        return found

    def _behind(self, name: Name, *, stored: bool = False) -> Iterator[str]:
        for oid in self.catalog.find(name.schema, name.name):
            for base in sorted(self.catalog.behind(oid, stored=stored)):
                yield self.catalog.name(base) or _dotted(None, str(base))

    def _relations(self, name: Name) -> tuple[str, ...]:
        if name.schema is not None:
            return (_dotted(TEMPORARY if is_temporary(name.schema) else name.schema, name.name),)
        found = tuple(filter(None, map(self.catalog.name, self.catalog.find(None, name.name))))
        if name.name in self._temporary:
            found += (_dotted(TEMPORARY, name.name),)
        return found or (_dotted(None, name.name),)

    def _functions(self, name: Name) -> tuple[str, ...]:
        if name.schema is not None:
            return (_dotted(name.schema, f"{name.name}()"),)
        found = tuple(_dotted(schema, f"{name.name}()") for schema, _, _ in self.catalog.functions.get(name.name, ()))
        return found or (_dotted(None, f"{name.name}()"),)

    def _shadowing(self, statement: Statement) -> Iterator[str]:
        """Functions of the target's own that a call of a built-in, a column or an operator may mean.

        Those of extensions are taken to mean what the built-in means.
        """
        functions, operators = self.catalog.functions, self.catalog.operators
        for name in statement.functions:
            if name.schema is None and name.name in NAMES:
                if not self._trusted:
                    yield _dotted(None, f"{name.name}()")
                yield from (_dotted(s, f"{name.name}()") for s, own, _ in functions.get(name.name, ()) if own)
        for attribute in statement.attributes:
            yield from (_dotted(s, f"{attribute}()") for s, _, may_be in functions.get(attribute, ()) if may_be)
        for operator in statement.operators:
            yield from (_dotted(schema, f"operator {operator}") for schema in operators.get(operator, ()))

    def makes_in_place(self, statement: Statement) -> bool:
        """It makes something whose schema it does not name, and nothing in it could move the creation schema first."""
        made = any(touch.new == "made" and touch.name.schema is None for touch in statement.touches)
        return made and self.stays(statement)

    def stays(self, statement: Statement) -> bool:
        """A definition or a query after which the creation schema is what it was."""
        if statement.tag not in _MAKERS or statement.effects or statement.dynamic:
            return False
        for touch in statement.touches:
            if touch.operation in _RUNS or (
                touch.kind == "relation" and not touch.new and self.is_own(touch.name.schema, touch.name.name)
            ):
                # A view over a temporary relation is temporary.
                return False
        runs_a_query = statement.tag in ("CREATE TABLE AS", "SELECT")
        return not any(self._shadowing(statement)) and not (runs_a_query and self.sources(statement) is None)

    def is_own(self, schema: str | None, relation: str) -> bool:
        """May it be a relation that only this session sees?"""
        return relation in self._temporary or (schema is not None and is_temporary(schema))

    # ------------------------------------------------------------ what flows out

    def sources(self, statement: Statement) -> set[str] | None:
        """Relations whose data the statement may show; None when that cannot be told."""
        return self.shown(statement.touches) if self._trusted else None

    def shown(self, touches: Iterable[Touch]) -> set[str] | None:
        """The same of some of what it touches."""
        found: set[str] = set()
        for touch in touches:
            if touch.operation is Operation.UNKNOWN:
                return None
            if touch.operation is Operation.EXECUTE and (touch.kind == "other" or _is_built_in(touch.name)):
                # Programs, and what shows the server's insides. What the target's own functions read is joined.
                return None
            if touch.operation is Operation.ADMIN and touch.kind == "function":
                # The server's files and large objects hold users' data too.
                return None
            if touch.kind != "relation" or touch.new:
                continue
            names = self._relations(touch.name)
            if any(name.startswith(("?.", f"{TEMPORARY}.")) or name in REVEALING for name in names):
                return None
            found.update(self.prefix + name for name in names)
            oids = self.catalog.find(touch.name.schema, touch.name.name)
            if not oids:
                # Made since the catalogue was read: perhaps a view.
                return None
            for oid in oids:
                drawn = self.catalog.origins(oid)
                if drawn is None:
                    return None
                found.update(self.prefix + naming.lineage(column)[-2] for column in drawn)
                family = map(self.catalog.name, self.catalog.family(oid))
                found.update(self.prefix + name for name in family if name is not None)
        return found

    def flows(self, statement: Statement) -> tuple[_Columns | None, _Columns | None]:
        """What each column of the result depends on, and what each parameter meets."""
        if statement.returns is None:
            return None, None
        outputs, met = trace(statement.returns, self.columns, frozenset(self.sources(statement) or ()))
        outputs = self._with_unseen(outputs, statement)
        inputs: list[frozenset[str] | None] = [None] * max(statement.parameters, default=0)
        for number in set(statement.parameters):
            meets = [met.get(place) for place, at in enumerate(statement.parameters) if at == number]
            if number > 0 and None not in meets:
                inputs[number - 1] = frozenset().union(*(columns for columns in meets if columns is not None))
        return outputs, tuple(inputs)

    def _with_unseen(self, outputs: _Columns | None, statement: Statement) -> _Columns | None:
        """What code that runs in a statement reads is behind every column, or behind those that it may have set."""
        if statement.within is NOTHING or outputs is None:
            return outputs
        called, fired = (self.shown(touches) for touches in (statement.within.called, statement.within.fired))
        if called is None or fired is None:
            return None
        sets = {naming.join(name) for name in statement.within.sets}
        return tuple(
            None
            if columns is None
            else columns.union(called, fired if "*" in sets or sets & {_last(name) for name in columns} else ())
            for columns in outputs
        )

    def stored(self, statement: Statement) -> tuple[frozenset[str], ...]:
        """For each column of the result, the columns whose values the statement itself puts there."""
        query = statement.returns
        changes = any(touch.operation in _STORING and touch.kind == "relation" for touch in statement.touches)
        unseen = changes and (statement.within.called or statement.within.fired)
        if query is None or not (query.stores_anything or unseen):
            return ()
        everything = frozenset(self.sources(statement) or ())
        outputs, _ = trace(query, self.columns, everything)
        before, _ = trace(query, self.columns, everything, stored=False)
        now = self._with_unseen(outputs, statement) if unseen else outputs
        if now is None or before is None:
            return (everything,)
        return tuple((after or everything) - (was or _NONE) for after, was in zip(now, before, strict=True))

    def checks(self, statement: Statement) -> set[str] | None:
        """Relations whose rows a failure may show although the statement does not name them."""
        if any(touch.name.name == "session/transaction" for touch in statement.touches if touch.kind == "other"):
            # Constraints and holdable cursors of earlier statements are checked, and run, when a transaction ends.
            return None
        return {
            self.prefix + name
            for touch in statement.touches
            if touch.operation in _CHANGING and touch.kind == "relation"
            for oid in self.catalog.find(touch.name.schema, touch.name.name)
            for by in self.catalog.cascade(oid)
            if (name := self.catalog.name(by)) is not None
        }

    def copied(self, statement: Statement) -> Sequence[Stored | None] | None:
        """Columns of what a COPY copies, None for computed ones; None altogether when it can't be told which they are.

        A query's column is told where the query only repeats it, and its lineage says the same.
        """
        copy = statement.copy
        if not self._trusted or copy is None:
            return None
        if copy.relation is not None:
            oid = self._one(copy.schema, copy.relation)
            return None if oid is None else self._of_relation(oid, copy.columns)
        places = direct(statement.returns, self._names) if statement.returns is not None else None
        outputs, _ = self.flows(statement)
        if places is None or outputs is None or len(places) != len(outputs):
            return None
        return [self._stored(place, depends) for place, depends in zip(places, outputs, strict=True)]

    def _one(self, schema: str | None, relation: str) -> int | None:
        """The one relation that can be meant."""
        oids = self.catalog.find(schema, relation)
        hidden = relation in self._temporary if schema is None else is_temporary(schema)
        return oids[0] if len(oids) == 1 and not hidden else None

    def _names(self, schema: str | None, relation: str) -> list[str] | None:
        oid = self._one(schema, relation)
        return None if oid is None else [self.catalog.columns[oid, at] for at in self.catalog.attributes.get(oid, ())]

    def _of_relation(self, oid: int, names: tuple[str, ...]) -> list[Stored] | None:
        """Columns that COPY of a relation copies: those it names, else all but generated ones."""
        types = self.catalog.types
        found = {
            column.name: column
            for column in (self._at(oid, at) for at in self.catalog.attributes.get(oid, ()))
            if names or not types[oid, column.attnum][1]
        }
        if any(name not in found for name in names):
            return None
        return [found[name] for name in names] if names else list(found.values())

    def _at(self, oid: int, attnum: int) -> Stored:
        kind, _, modifier = self.catalog.types[oid, attnum]
        return Stored(self.catalog.columns[oid, attnum], oid, attnum, kind, modifier)

    def _stored(self, place: Place | None, depends: frozenset[str] | None) -> Stored | None:
        if place is None or depends is None:
            return None
        schema, relation, index = place
        oid = self._one(schema, relation)
        if oid is None:
            return None
        column = self._at(oid, self.catalog.attributes[oid][index])
        return column if set(self.origin(oid, column.attnum)) == depends else None

    def columns(self, schema: str | None, relation: str) -> Columns | frozenset[str]:
        """Of a relation, for `trace`: by name and with what each depends on."""
        catalog = self.catalog
        if self.is_own(schema, relation):
            return None
        oids = catalog.find(schema, relation)
        if not oids:
            return None
        if all(catalog.is_system(oid) for oid in oids):
            return frozenset(self.prefix + (catalog.name(oid) or "") for oid in oids)
        listed = [[catalog.columns[oid, num] for num in catalog.attributes.get(oid, ())] for oid in oids]
        if any(names != listed[0] for names in listed):
            return None
        return [
            (name, frozenset(column for oid in oids for column in self.origin(oid, catalog.attributes[oid][index])))
            for index, name in enumerate(listed[0])
        ]

    def origin(self, oid: int, attnum: int) -> tuple[str, ...]:
        """A column, those it is kin to, and those a view draws from."""
        found = dict.fromkeys(self.prefix + column for column in self.catalog.kin(oid, attnum))
        through = self._through(oid)
        attributes = self.catalog.attributes.get(oid, ())
        drawn = through[attributes.index(attnum)] if through is not None and attnum in attributes else None
        if drawn is None:
            drawn = frozenset(self.prefix + column for column in self.catalog.origins(oid) or ())
        return (*found, *sorted(drawn - found.keys()))

    def _through(self, oid: int) -> Sequence[frozenset[str] | None] | None:
        """What each column of a view depends on, by its query; None when that can't be told, or it is none."""
        catalog = self.catalog
        text = catalog.definitions.get(oid)
        if text is None or oid in catalog.opaque:
            return None
        if oid not in catalog.traced:
            # A view that stood in its own way would find nothing here.
            catalog.traced[oid] = None
            query = hidden(text)
            if query is not None and query.returns is not None and not _RUNS & {t.operation for t in query.touches}:
                # A view is nobody's: what the session made does not stand in it.
                plain = Resolver(self.prefix[:-1], catalog, trusted=True, temporary=frozenset())
                outputs, _ = trace(query.returns, plain.columns)
                if outputs is not None and len(outputs) == len(catalog.attributes.get(oid, ())):
                    catalog.traced[oid] = outputs if self._agrees(oid, outputs) else None
        return catalog.traced[oid]

    def _agrees(self, oid: int, outputs: Sequence[frozenset[str] | None]) -> bool:
        """The server's own list of what the view draws from has it all: no name meant something else."""
        catalog = self.catalog
        drawn = {self.prefix + column for column in catalog.origins(oid) or ()}
        views = tuple(
            f"{self.prefix}{catalog.name(base)}."
            for base in catalog.behind(oid, stored=True)
            if base in catalog.relations and catalog.relations[base][2] in ("v", "m")
        )
        named = frozenset[str]().union(*(columns for columns in outputs if columns is not None))
        return all(name in drawn or name.startswith(views) for name in named)


#: Statements that make something where the creation schema says.
_MAKERS = frozenset(
    ("CREATE TABLE", "CREATE TABLE AS", "SELECT", "CREATE VIEW", "CREATE SEQUENCE", "CREATE FUNCTION", "CREATE")
)
_RUNS = frozenset({Operation.EXECUTE, Operation.UNKNOWN, Operation.ADMIN})
_CHANGING = {Operation.DELETE, Operation.UPDATE}
_STORING = {Operation.INSERT, Operation.UPDATE}
_CHANGING_TAGS = {"DELETE", "UPDATE", "TRUNCATE", "MERGE"}


def summary(
    resolver: Resolver, statement: Statement, inner: Sequence[Statement] = (), creation: str | None = None
) -> str:
    """A person's sentence: "DELETE without WHERE on public.orders". `inner`: what names in it stand for."""
    if inner:
        more = f" or {len(inner) - 1} others" if len(inner) > 1 else ""
        return f"{statement.tag} of {summary(resolver, inner[-1])}{more}"
    tag, touches = statement.tag, [touch for touch in statement.touches if touch.kind in ("relation", "locked")]
    changing = [touch for touch in touches if touch.operation in _CHANGING and touch.kind == "relation"]
    if not statement.has_where and tag not in _CHANGING_TAGS and changing:
        # What is wrong is the change inside, not the SELECT or EXPLAIN around it.
        tag, touches = "/".join(dict.fromkeys(touch.operation.value.upper() for touch in changing)), changing
    named: dict[str, None] = {}
    for touch in touches:
        found = resolver.objects(touch, creation)
        named[found[0].removeprefix("?.") if len(found) == 1 else touch.name.name] = None
    without = "" if statement.has_where else " without WHERE"
    shown = list(named)[:5] + (["…"] if len(named) > 5 else [])
    return f"{tag}{without}" + (f" on {', '.join(shown)}" if shown else "")


def _last(column: str) -> str:
    """Its own name, as it is written behind the relation's."""
    return column[len(naming.lineage(column)[-2]) + 1 :]


def _is_built_in(name: Name) -> bool:
    return name.schema in (None, "pg_catalog") and name.name in NAMES


def is_temporary(schema: str) -> bool:
    """Is it a session's own schema, by either name?"""
    return schema == TEMPORARY or schema.startswith("pg_temp_")


def _dotted(schema: str | None, name: str) -> str:
    return f"{naming.UNRESOLVED}.{naming.join(name)}" if schema is None else naming.join(schema, name)
