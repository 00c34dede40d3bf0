"""What the target's own catalogue says about names: relations, columns, what views are made of, who inherits from whom.

The engine reads it over the session's own connection, so it sees what the session's role sees, and shares it
with later sessions of the same target through `CatalogCache`. Names are resolved conservatively: an unqualified
name stands for every relation of that name in any schema, and one that is not known stays unknown (`?.name`),
which no per-object permit matches.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

#: One row, one json column. Sizes stay with user relations: system catalogues are resolved by name alone.
CATALOG_QUERY = """\
SELECT pg_catalog.json_build_object(
 'relations', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
     c.oid::pg_catalog.int8, n.nspname, c.relname, c.relkind))
   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
   WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r','v','m','f','p','S']::pg_catalog."char"[])),
 'columns', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
     a.attrelid::pg_catalog.int8, a.attnum, a.attname, a.atttypid::pg_catalog.int8, a.attgenerated))
   FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
   JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
   WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
   AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r','v','m','f','p']::pg_catalog."char"[])
   AND n.nspname OPERATOR(pg_catalog.<>) ALL (ARRAY['pg_catalog','information_schema']::pg_catalog.name[])),
 'views', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
     v.ev_class::pg_catalog.int8, v.refobjid::pg_catalog.int8, v.refobjsubid))
   FROM (SELECT DISTINCT r.ev_class, d.refobjid, d.refobjsubid
     FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) r.oid
     AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass
     AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
     WHERE d.refobjid OPERATOR(pg_catalog.<>) r.ev_class
     AND r.ev_class OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid) v),
 'inherits', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
     i.inhrelid::pg_catalog.int8, i.inhparent::pg_catalog.int8))
   FROM pg_catalog.pg_inherits i))::pg_catalog.text"""

#: Seconds a catalogue is believed; DDL through the gateway drops it at once.
MAX_AGE = 60.0
_MAX_CACHED = 256


@dataclass(frozen=True, slots=True)
class Catalog:
    """A snapshot. Object names come without the target's prefix: `public.customers.email`."""

    #: oid → (schema, relation, relkind)
    relations: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    #: (oid, attribute number) → column name
    columns: dict[tuple[int, int], str] = field(default_factory=dict)
    #: oid of a view or child → (oid, attnum) it draws from; attnum 0 is the whole relation
    derived: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    #: name → schemas that have a relation of that name
    schemas: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: (oid, attribute number) → (type oid, "s" for a generated column else "")
    types: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: str) -> "Catalog":
        """Build from the cell `CATALOG_QUERY` returns. Raises ValueError when it is something else."""
        try:
            raw = json.loads(document)
            relations = {int(oid): (str(s), str(n), str(k)) for oid, s, n, k in raw["relations"] or ()}
            columns = {(int(oid), int(num)): str(name) for oid, num, name, _, _ in raw["columns"] or ()}
            types = {(int(oid), int(num)): (int(kind), str(gen)) for oid, num, _, kind, gen in raw["columns"] or ()}
            derived: dict[int, list[tuple[int, int]]] = {}
            for view, base, attnum in raw["views"] or ():
                derived.setdefault(int(view), []).append((int(base), int(attnum)))
            parents = [(int(child), int(parent)) for child, parent in raw["inherits"] or ()]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("the target's catalogue could not be read") from error
        schemas: dict[str, list[str]] = {}
        for schema, name, _ in relations.values():
            schemas.setdefault(name, []).append(schema)
        numbers = {(oid, name): num for (oid, num), name in columns.items()}
        for child, parent in parents:
            # A child's column is the parent's column of the same name; classification follows it down.
            for (oid, _), name in columns.items():
                if oid == child and (parent, name) in numbers:
                    derived.setdefault(child, []).append((parent, numbers[parent, name]))
        return cls(
            relations,
            columns,
            {oid: tuple(bases) for oid, bases in derived.items()},
            {name: tuple(found) for name, found in schemas.items()},
            types,
        )

    def resolve(self, schema: str | None, name: str) -> tuple[str, ...]:
        """Every relation the name may stand for: `("public.orders",)`; `("?.orders",)` when none is known."""
        if schema is not None:
            return (f"{schema}.{name}",)
        found = self.schemas.get(name)
        if not found:
            return (f"?.{name}",)
        return tuple(f"{s}.{name}" for s in found)

    def column(self, oid: int, attnum: int) -> str | None:
        """`public.customers.email` for a RowDescription's origin; None when the snapshot does not know it."""
        relation = self.relations.get(oid)
        name = self.columns.get((oid, attnum))
        return None if relation is None or name is None else f"{relation[0]}.{relation[1]}.{name}"

    def columns_of(
        self, schema: str | None, relation: str, names: tuple[str, ...]
    ) -> list[tuple[str, int, int, int]] | None:
        """(name, oid, attnum, type oid) of COPY's columns; None unless exactly one relation can be meant."""
        oids = [o for o, (s, n, _) in self.relations.items() if n == relation and schema in (None, s)]
        if len(oids) != 1:
            return None
        oid = oids[0]
        found = {
            name: (name, oid, num, self.types[oid, num][0])
            for (of, num), name in sorted(self.columns.items())
            if of == oid and (names or not self.types[oid, num][1])
        }
        if any(name not in found for name in names):
            return None
        return [found[name] for name in names] if names else list(found.values())

    def origins(self, oid: int) -> tuple[str, ...]:
        """Base columns that a view, materialised view or child table draws from, all the way down."""
        seen: set[int] = set()
        found: set[str] = set()
        waiting = [oid]
        while waiting:
            at = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            for base, attnum in self.derived.get(at, ()):
                if base in self.derived:
                    waiting.append(base)
                column = self.column(base, attnum)
                if column is not None:
                    found.add(column)
        return tuple(sorted(found))

    def is_system(self, oid: int) -> bool:
        """Columns of the system catalogues: known relations whose columns the snapshot leaves out."""
        relation = self.relations.get(oid)
        return relation is not None and relation[0] in ("pg_catalog", "information_schema")

    def expand(self, relation: str) -> tuple[str, ...]:
        """A relation and everything that a view of that name draws from, as relation names."""
        schema, _, name = relation.partition(".")
        names = {relation}
        for oid, (s, n, _) in self.relations.items():
            if s == schema and n == name and oid in self.derived:
                names.update(origin.rpartition(".")[0] for origin in self.origins(oid))
        return tuple(sorted(names))


class CatalogCache:
    """Snapshots by (target, database), shared by the sessions of one process. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, Catalog]] = {}

    def get(self, target: str, database: str) -> Catalog | None:
        """A snapshot young enough to be believed."""
        kept = self._kept.get((target, database))
        return kept[1] if kept is not None and self._clock() - kept[0] < MAX_AGE else None

    def put(self, target: str, database: str, catalog: Catalog) -> None:
        """Keep a snapshot; the oldest goes when there are too many."""
        if len(self._kept) >= _MAX_CACHED:
            del self._kept[min(self._kept, key=lambda key: self._kept[key][0])]
        self._kept[target, database] = (self._clock(), catalog)

    def drop(self, target: str, database: str) -> None:
        """Someone changed definitions."""
        self._kept.pop((target, database), None)
