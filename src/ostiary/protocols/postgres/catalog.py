"""What the target's own catalogue says about names.

Relations and columns, what views and generated columns are made of, who inherits from whom, functions and operators
that are not the server's own. The engine reads it over the session's own connection, so it sees what the session's
role sees, and shares it with later sessions of the same target through `CatalogCache`. Names are resolved
conservatively: an unqualified name stands for every relation of that name in any schema, so `search_path` need not be
followed, and one that is not known stays unknown (`?.name`). Temporary relations are each session's own and left out.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from ostiary.core import Action, Shape, naming
from ostiary.protocols.postgres.unseen import UNSEEN_QUERY, Unseen, grouped
from ostiary.sql import Memo

#: Of the server's own: relations that hold users' data, or the text of their statements.
_REVEALING: Final = (
    *("pg_statistic", "pg_stats", "pg_statistic_ext_data", "pg_stats_ext", "pg_stats_ext_exprs", "pg_largeobject"),
    *("pg_stat_activity", "pg_prepared_statements", "pg_cursors", "pg_authid", "pg_shadow", "pg_user_mapping"),
    *("pg_user_mappings", "pg_subscription"),
)
REVEALING: Final = frozenset(f"pg_catalog.{name}" for name in _REVEALING)

#: One row, one json column. Columns stay with user relations: system catalogues are resolved by name alone.
#: `settled`: asked outside a transaction block, so it shows nothing that may yet be undone.
#: A view's whole-row reference leaves no column in pg_depend, only `varattno 0` in its rule. OFFSET 0: rules are long,
#: each is looked at once.
CATALOG_QUERY: Final = """\
SELECT pg_catalog.json_build_object(
 'settled', pg_catalog.now() OPERATOR(pg_catalog.=) pg_catalog.statement_timestamp(),
 'relations', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
     c.oid::pg_catalog.int8, n.nspname, c.relname, c.relkind))
   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
   WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r','v','m','f','p','S']::pg_catalog."char"[])
   AND c.relpersistence OPERATOR(pg_catalog.<>) 't'::pg_catalog."char"),
 'columns', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
     a.attrelid::pg_catalog.int8, a.attnum, a.attname,
     CASE WHEN t.typbasetype OPERATOR(pg_catalog.>) 0 THEN t.typbasetype ELSE a.atttypid END::pg_catalog.int8,
     a.attgenerated, CASE WHEN t.typbasetype OPERATOR(pg_catalog.>) 0 THEN t.typtypmod ELSE a.atttypmod END)
     ORDER BY a.attrelid, a.attnum)
   FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
   JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
   JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
   WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
   AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r','v','m','f','p']::pg_catalog."char"[])
   AND c.relpersistence OPERATOR(pg_catalog.<>) 't'::pg_catalog."char"
   AND n.nspname OPERATOR(pg_catalog.<>) ALL (ARRAY['pg_catalog','information_schema']::pg_catalog.name[])),
 'views', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
     v.ev_class::pg_catalog.int8, v.refobjid::pg_catalog.int8, v.attnum))
   FROM (SELECT DISTINCT r.ev_class, d.refobjid,
       CASE WHEN r.rows THEN 0 ELSE d.refobjsubid END AS attnum
     FROM (SELECT oid, ev_class, ev_action::pg_catalog.text OPERATOR(pg_catalog.~~) '%:varattno 0 %' AS rows
       FROM pg_catalog.pg_rewrite WHERE ev_class OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid OFFSET 0) r
     JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) r.oid
     AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass
     AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
     WHERE d.refobjid OPERATOR(pg_catalog.<>) r.ev_class) v),
 'opaque', (SELECT pg_catalog.json_agg(o.ev_class::pg_catalog.int8) FROM (
   SELECT r.ev_class
   FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) r.oid
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND d.refclassid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid,
     'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid])
   WHERE d.refobjid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
   UNION SELECT r.ev_class FROM pg_catalog.pg_rewrite r
   WHERE r.ev_class OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
   AND r.ev_action::pg_catalog.text OPERATOR(pg_catalog.~) (
     SELECT pg_catalog.concat(':relid (', pg_catalog.string_agg(c.oid::pg_catalog.text, '|'), ') ')
     FROM pg_catalog.pg_class c
     WHERE c.relnamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace::pg_catalog.oid
     AND c.relname OPERATOR(pg_catalog.=) ANY (ARRAY['{revealing}']::pg_catalog.name[]))) o),
 'definitions', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
     d.ev_class::pg_catalog.int8, pg_catalog.pg_get_viewdef(d.ev_class))) FROM (
   SELECT r.ev_class, pg_catalog.sum(pg_catalog.octet_length(r.ev_action::pg_catalog.text)) OVER (ORDER BY r.ev_class)
     AS size
   FROM pg_catalog.pg_rewrite r WHERE r.ev_type OPERATOR(pg_catalog.=) '1'::pg_catalog."char"
   AND r.ev_class OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid) d
   WHERE d.size OPERATOR(pg_catalog.<=) 67108864),
 'inherits', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
     i.inhrelid::pg_catalog.int8, i.inhparent::pg_catalog.int8))
   FROM pg_catalog.pg_inherits i),
 'generated', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
     f.adrelid::pg_catalog.int8, f.adnum, d.refobjsubid))
   FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) f.oid
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_attrdef'::pg_catalog.regclass
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.refobjid OPERATOR(pg_catalog.=) f.adrelid
   WHERE d.refobjsubid OPERATOR(pg_catalog.<>) f.adnum AND d.refobjsubid OPERATOR(pg_catalog.>) 0),
 'references', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(
     k.confrelid::pg_catalog.int8, k.conrelid::pg_catalog.int8))
   FROM pg_catalog.pg_constraint k WHERE k.contype OPERATOR(pg_catalog.=) 'f'::pg_catalog."char"),
 'functions', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(f.nspname, f.proname, f.own, f.attribute))
   FROM (SELECT n.nspname, p.proname,
       pg_catalog.bool_or(NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
         WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
         AND d.objid OPERATOR(pg_catalog.=) p.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char")) AS own,
       pg_catalog.bool_or(COALESCE(p.pronargs OPERATOR(pg_catalog.-) p.pronargdefaults OPERATOR(pg_catalog.<=) 1
         AND t.typtype OPERATOR(pg_catalog.=) ANY (ARRAY['c','p']::pg_catalog."char"[]), false)) AS attribute
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
     LEFT JOIN pg_catalog.pg_type t ON p.pronargs OPERATOR(pg_catalog.>) 0
       AND t.oid OPERATOR(pg_catalog.=) p.proargtypes[0]
     WHERE n.nspname OPERATOR(pg_catalog.<>) ALL (ARRAY['pg_catalog','information_schema']::pg_catalog.name[])
     GROUP BY 1, 2) f),
 'unseen', {unseen},
 'operators', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(n.nspname, o.oprname))
   FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace
   WHERE n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.name
   AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
     WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass
     AND d.objid OPERATOR(pg_catalog.=) o.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char"))
 )::pg_catalog.text""".replace("{revealing}", "','".join(_REVEALING)).replace("{unseen}", UNSEEN_QUERY)

#: Seconds a catalogue is believed; DDL through the gateway drops it at once.
MAX_AGE: Final = 60.0
#: Seconds that one session has to read an expired one anew, before another tries.
READING: Final = 10.0
_MAX_CACHED: Final = 256
_SYSTEM: Final = ("pg_catalog", "information_schema")


@dataclass(frozen=True, slots=True)
class Catalog:
    """A snapshot. Object names come without the target's prefix: `public.customers.email`."""

    #: oid → (schema, relation, relkind)
    relations: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    #: (oid, attribute number) → column name
    columns: dict[tuple[int, int], str] = field(default_factory=dict)
    #: oid of a view or materialised view → (oid, attnum) it draws from; attnum 0 is any column
    derived: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    #: name → oids of the relations of that name
    named: dict[str, tuple[int, ...]] = field(default_factory=dict)
    #: (oid, attribute number) → (type oid, of a domain its base's, "s" for a generated column else "", type modifier)
    types: dict[tuple[int, int], tuple[int, str, int]] = field(default_factory=dict)
    #: oid → its attribute numbers in order
    attributes: dict[int, tuple[int, ...]] = field(default_factory=dict)
    #: oids of views that call functions of the target's own, or read what reveals: what they show cannot be told
    opaque: frozenset[int] = frozenset()
    #: parent → children
    children: dict[int, tuple[int, ...]] = field(default_factory=dict)
    #: child → parents
    parents: dict[int, tuple[int, ...]] = field(default_factory=dict)
    #: relation → those with foreign keys to it
    referring: dict[int, tuple[int, ...]] = field(default_factory=dict)
    #: (oid, attribute number) of a generated column → attribute numbers it is computed from
    generated: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    #: function name → ((schema, not an extension's, may be written as a column), …)
    functions: dict[str, tuple[tuple[str, bool, bool], ...]] = field(default_factory=dict)
    #: operator → schemas
    operators: dict[str, tuple[str, ...]] = field(default_factory=dict)
    settled: bool = False
    unseen: Unseen = field(default_factory=Unseen)
    #: view or materialised view → its query
    definitions: dict[int, str] = field(default_factory=dict)
    #: The same → what each of its columns depends on, None when that can't be told; filled by whoever works it out.
    traced: dict[int, "Sequence[frozenset[str] | None] | None"] = field(default_factory=dict, compare=False)

    @classmethod
    def parse(cls, document: str) -> "Catalog":
        """Build from the cell `CATALOG_QUERY` returns. Raises ValueError when it is something else."""
        try:
            return cls._build(json.loads(document))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("the target's catalogue could not be read") from error

    @classmethod
    def _build(cls, raw: Any) -> "Catalog":
        relations = {int(oid): (str(s), str(n), str(k)) for oid, s, n, k in raw["relations"] or ()}
        columns = {(int(oid), int(num)): str(name) for oid, num, name, *_ in raw["columns"] or ()}
        types = {
            (int(oid), int(num)): (int(kind), str(generated), int(modifier))
            for oid, num, _, kind, generated, modifier in raw["columns"] or ()
        }
        attributes = grouped(columns)
        definitions = {int(oid): str(text) for oid, text in raw["definitions"] or ()}
        derived = grouped((int(view), (int(base), int(attnum))) for view, base, attnum in raw["views"] or ())
        return cls(
            relations,
            columns,
            derived,
            grouped((name, oid) for oid, (_, name, _) in relations.items()),
            types,
            attributes,
            frozenset(map(int, raw["opaque"] or ())),
            grouped((int(parent), int(child)) for child, parent in raw["inherits"] or ()),
            grouped((int(child), int(parent)) for child, parent in raw["inherits"] or ()),
            grouped((int(to), int(by)) for to, by in raw["references"] or ()),
            grouped(((int(oid), int(num)), int(source)) for oid, num, source in raw["generated"] or ()),
            grouped((str(name), (str(s), bool(own), bool(att))) for s, name, own, att in raw["functions"] or ()),
            grouped((str(name), str(schema)) for schema, name in raw["operators"] or ()),
            bool(raw["settled"]),
            Unseen.build(raw["unseen"], definitions),
            definitions,
        )

    def find(self, schema: str | None, name: str) -> tuple[int, ...]:
        """Every relation the name may stand for."""
        found = self.named.get(name, ())
        return found if schema is None else tuple(oid for oid in found if self.relations[oid][0] == schema)

    def name(self, oid: int) -> str | None:
        """`public.customers`."""
        relation = self.relations.get(oid)
        return None if relation is None else naming.join(*relation[:2])

    def column(self, oid: int, attnum: int) -> str | None:
        """`public.customers.email` for a RowDescription's origin; None when the snapshot does not know it."""
        relation = self.relations.get(oid)
        name = self.columns.get((oid, attnum))
        return None if relation is None or name is None else naming.join(*relation[:2], name)

    def behind(self, oid: int, *, stored: bool = False) -> set[int]:
        """Relations in a view's query, all the way down; in a materialised view's only with `stored`."""
        seen: set[int] = set()
        waiting = [oid] if stored or self.relations[oid][2] == "v" else []
        while waiting:
            bases = {base for base, _ in self.derived.get(waiting.pop(), ())} - seen
            seen |= bases
            waiting += (base for base in bases if self.relations.get(base, ("", "", ""))[2] == "v")
        return seen

    def origins(self, oid: int) -> tuple[str, ...] | None:
        """Base columns that a view or materialised view draws from, all the way down.

        None when they cannot be told, because a function of the target's own stands between.
        """
        seen: set[int] = set()
        found: set[str] = set()
        waiting = [oid]
        while waiting:
            at = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            if at in self.opaque:
                return None
            for base, attnum in self.derived.get(at, ()):
                waiting.append(base)
                for number in (attnum,) if attnum else self.attributes.get(base, ()):
                    found.update(self.kin(base, number))
        return tuple(sorted(found))

    def kin(self, oid: int, attnum: int) -> Iterator[str]:
        """A column, what it is generated from, and those of the same name in the tables above and below.

        Classification follows both ways.
        """
        own = self.column(oid, attnum)
        if own is None:
            return
        yield own
        name = self.columns[oid, attnum]
        for relative in self.family(oid):
            for number in self.attributes.get(relative, ()):
                if self.columns[relative, number] == name:
                    yield naming.join(*self.relations[relative][:2], name)
        for source in self.generated.get((oid, attnum), ()):
            yield from self.kin(oid, source)

    def family(self, oid: int) -> Iterator[int]:
        """Tables that inherit from this one or that it inherits from, all the way."""
        yield from self.descendants(oid)
        yield from _reach(self.parents, oid)

    def descendants(self, oid: int) -> Iterator[int]:
        """Tables that inherit from this one, all the way down: partitions."""
        return _reach(self.children, oid)

    def cascade(self, oid: int) -> Iterator[int]:
        """Relations with a foreign key to this one, and those with one to them."""
        return _reach(self.referring, oid)

    def contents(self, schema: str) -> Iterator[str]:
        """Names of the relations and functions in a schema."""
        yield from (naming.join(s, name) for s, name, _ in self.relations.values() if s == schema)
        for name, found in self.functions.items():
            yield from (naming.join(s, f"{name}()") for s, _, _ in found if s == schema)

    def is_system(self, oid: int) -> bool:
        """A relation of the server's own; the snapshot leaves their columns out."""
        relation = self.relations.get(oid)
        return relation is not None and relation[0] in _SYSTEM


def _reach(edges: dict[int, tuple[int, ...]], start: int) -> Iterator[int]:
    seen = {start}
    waiting = [*edges.get(start, ())]
    while waiting:
        at = waiting.pop()
        if at not in seen:
            seen.add(at)
            waiting += edges.get(at, ())
            yield at


class Snapshot:
    """A catalogue, when it was read, and what statements came to under it."""

    __slots__ = ("actions", "catalog", "digest", "read_at", "shapes")

    def __init__(self, catalog: Catalog, digest: bytes, read_at: float) -> None:
        self.catalog = catalog
        self.digest = digest
        self.read_at = read_at
        #: By exact text.
        self.actions: Memo[Action] = Memo()
        #: By the text's template.
        self.shapes: Memo[Shape] = Memo()

    @classmethod
    def read(cls, document: str, now: float) -> "Snapshot":
        """From what `CATALOG_QUERY` returned. Raises ValueError."""
        # Whether it was asked inside a transaction does not make it another catalogue.
        return cls(Catalog.parse(document), blake2b(document.partition(",")[2].encode()).digest(), now)


class CatalogCache:
    """Snapshots by (target, database), shared by the sessions of one process. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._kept: dict[tuple[str, str], Snapshot] = {}
        self._drops = 0

    def get(self, target: str, database: str) -> Snapshot | None:
        """A snapshot young enough to be believed."""
        kept = self._kept.get((target, database))
        return kept if kept is not None and self.clock() - kept.read_at < MAX_AGE else None

    def claim(self, target: str, database: str) -> None:
        """Who asks reads an expired snapshot anew; the others go on with it for a while."""
        kept = self._kept.get((target, database))
        if kept is not None:
            kept.read_at = self.clock() - MAX_AGE + READING

    def put(self, target: str, database: str, snapshot: Snapshot, drops: int) -> Snapshot:
        """Keep a snapshot asked for when `drops` was the count; gives the one to use from now on.

        One that was overtaken by a change is believed for a second, by its reader only. One equal to what is kept
        renews it, and what statements came to stays known.
        """
        if drops != self._drops:
            snapshot.read_at = self.clock() - MAX_AGE + 1
            return snapshot
        kept = self._kept.get((target, database))
        if kept is not None and kept.digest == snapshot.digest:
            kept.read_at = snapshot.read_at
            return kept
        if len(self._kept) >= _MAX_CACHED:
            del self._kept[min(self._kept, key=lambda key: self._kept[key].read_at)]
        self._kept[target, database] = snapshot
        return snapshot

    @property
    def drops(self) -> int:
        """How often definitions changed through this process."""
        return self._drops

    def drop(self, target: str, database: str) -> None:
        """Someone changed definitions."""
        self._drops += 1
        kept = self._kept.pop((target, database), None)
        if kept is not None:
            kept.read_at = float("-inf")
