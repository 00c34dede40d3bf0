"""What the target's catalogue says of code that runs without being named: the part of the catalogue that `reach` needs.

Everything is SQL as the server deparses it, for `sql.bodies.hidden`. Names in it are qualified or, where the server
found that needless, stand for what they stand for in any schema.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ostiary.core import Operation

#: What sets code off, as bits. Making, altering and maintaining a relation runs its expressions.
READ, INSERT, UPDATE, DELETE, DEFINE, CONVERT = 1, 2, 4, 8, 16, 32
EVENTS: Final = {
    Operation.READ: READ,
    Operation.INSERT: INSERT,
    Operation.UPDATE: UPDATE,
    Operation.DELETE: DELETE,
    Operation.DEFINE: DEFINE,
    Operation.ADMIN: DEFINE,
}
#: Built-in functions that a view or an expression may hide: those that do more than compute (builtins.txt).
_ACTING: Final = (
    "^(pg_|lo_|nextval$|setval$|set_config$|query_to_|cursor_to_|table_to_|schema_to_|database_to_|ts_stat|ts_rewrite)"
)

#: Operators stand bare here, `==` for `=`, and are made pg_catalog's below: search_path is the session's.
#: Numbers are sums of events: 6 is INSERT and UPDATE; 22 with DEFINE, 23 with READ too; 38 with CONVERT, 39 with READ
#: too; 13 is READ, UPDATE and DELETE, 15 these and INSERT.
_QUERY: Final = """\
pg_catalog.json_build_object(
 'functions', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(f.nspname, f.proname, f.text)) FROM (
   SELECT p.nspname, p.proname, CASE WHEN p.told AND p.size <= 8388608 THEN pg_catalog.pg_get_functiondef(p.oid) END
     AS text
   FROM (SELECT n.nspname, p.proname, p.oid,
       l.lanname == ANY (ARRAY['sql','plpgsql']::pg_catalog.name[])
         AND pg_catalog.octet_length(p.prosrc) <= 32768 AS told,
       pg_catalog.sum(pg_catalog.octet_length(p.prosrc)) OVER (ORDER BY p.oid) AS size
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid == p.pronamespace
     JOIN pg_catalog.pg_language l ON l.oid == p.prolang WHERE p.prokind <> 'a'::pg_catalog."char"
     AND {own_function}) p
   UNION ALL SELECT m.nspname, m.proname, {calls}
   FROM (SELECT n.nspname, p.proname, p.oid FROM pg_catalog.pg_proc p
     JOIN pg_catalog.pg_namespace n ON n.oid == p.pronamespace WHERE p.prokind == 'a'::pg_catalog."char"
     AND {own_function}) m
   JOIN pg_catalog.pg_aggregate a ON a.aggfnoid == m.oid::pg_catalog.regproc
   JOIN pg_catalog.pg_proc p ON p.oid == ANY (ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn,
     a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::pg_catalog.oid[])
   JOIN pg_catalog.pg_namespace n ON n.oid == p.pronamespace GROUP BY m.oid, m.nspname, m.proname) f),
 'provided', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(n.nspname, p.proname, e.extname))
   FROM {extension_of} JOIN pg_catalog.pg_proc p ON p.oid == d.objid
   JOIN pg_catalog.pg_namespace n ON n.oid == p.pronamespace
   WHERE d.classid == 'pg_catalog.pg_proc'::pg_catalog.regclass),
 'hooks', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(h.relation::pg_catalog.int8, h.events, h.text,
     h.quiet)) FROM (
   SELECT t.tgrelid AS relation, ((t.tgtype & 4) >> 1) | ((t.tgtype & 16) >> 2) | (t.tgtype & 8) |
     ((t.tgtype & 32) >> 2) AS events, pg_catalog.pg_get_triggerdef(t.oid) AS text, true AS quiet
   FROM pg_catalog.pg_trigger t WHERE t.tgfoid >= 16384::pg_catalog.oid AND t.tgenabled <> 'D'::pg_catalog."char"
   UNION ALL SELECT r.ev_class, CASE r.ev_type WHEN '2' THEN 4 WHEN '3' THEN 2 ELSE 8 END,
     pg_catalog.pg_get_ruledef(r.oid), false
   FROM pg_catalog.pg_rewrite r WHERE r.ev_type <> '1'::pg_catalog."char" AND r.oid >= 16384::pg_catalog.oid
   AND r.ev_enabled <> 'D'::pg_catalog."char"
   UNION ALL SELECT c.oid, CASE c.relkind WHEN 'm' THEN 16 ELSE 15 END, NULL, false
   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_rewrite r ON r.ev_class == c.oid
   AND r.ev_type == '1'::pg_catalog."char"
   WHERE c.oid >= 16384::pg_catalog.oid AND (EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
     WHERE d.classid == 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid == r.oid
     AND d.refclassid == ANY (ARRAY['pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid,
       'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid,
       'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid]) AND d.refobjid >= 16384::pg_catalog.oid)
     OR r.ev_action::pg_catalog.text ~ (SELECT pg_catalog.concat(':funcid (',
       pg_catalog.string_agg(p.oid::pg_catalog.text, '|'), ') ') FROM pg_catalog.pg_proc p
       WHERE p.oid < 16384::pg_catalog.oid AND p.proname ~ '{acting}'))
   UNION ALL SELECT f.adrelid, CASE a.attgenerated WHEN 'v' THEN 23 WHEN 's' THEN 22 ELSE 6 END,
     'SELECT ' || pg_catalog.pg_get_expr(f.adbin, f.adrelid), false
   FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_attribute a ON a.attrelid == f.adrelid AND a.attnum == f.adnum
   WHERE f.adbin::pg_catalog.text ~ '{code}' AND NOT (f.oid == ANY (
       SELECT d.objid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_depend o ON o.objid == d.refobjid
       AND o.classid == d.refclassid AND o.deptype == ANY (ARRAY['a','i']::pg_catalog."char"[])
       JOIN pg_catalog.pg_attrdef e ON e.oid == d.objid AND e.adrelid == o.refobjid
       WHERE d.classid == 'pg_catalog.pg_attrdef'::pg_catalog.regclass
       AND d.refclassid == 'pg_catalog.pg_class'::pg_catalog.regclass)
     AND pg_catalog.pg_get_expr(f.adbin, f.adrelid) ~ '^nextval\\(''[^'']*''::regclass\\)$')
   UNION ALL SELECT k.conrelid, 22, 'SELECT ' || pg_catalog.pg_get_expr(k.conbin, k.conrelid), false
   FROM pg_catalog.pg_constraint k WHERE k.contype == 'c'::pg_catalog."char" AND k.conrelid <> 0::pg_catalog.oid
   AND k.conbin::pg_catalog.text ~ '{code}'
   UNION ALL SELECT k.conrelid, 22, {call}, true
   FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_operator o ON o.oid == ANY (k.conexclop)
   JOIN pg_catalog.pg_proc p ON p.oid == o.oprcode JOIN pg_catalog.pg_namespace n ON n.oid == p.pronamespace
   WHERE k.contype == 'x'::pg_catalog."char" AND o.oid >= 16384::pg_catalog.oid
   UNION ALL SELECT p.polrelid, CASE p.polcmd WHEN 'w' THEN 4 WHEN 'd' THEN 8 ELSE 13 END,
     'SELECT ' || pg_catalog.pg_get_expr(p.polqual, p.polrelid), false
   FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid == p.polrelid AND c.relrowsecurity
   WHERE p.polqual::pg_catalog.text ~ '{code}'
   UNION ALL SELECT p.polrelid, CASE p.polcmd WHEN 'a' THEN 2 WHEN 'w' THEN 4 ELSE 6 END,
     'SELECT ' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), false
   FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid == p.polrelid AND c.relrowsecurity
   WHERE p.polwithcheck::pg_catalog.text ~ '{code}'
   UNION ALL SELECT i.indrelid, 22, 'SELECT ' || pg_catalog.pg_get_expr(e.tree, i.indrelid), false
   FROM pg_catalog.pg_index i CROSS JOIN LATERAL (VALUES (i.indexprs), (i.indpred)) e (tree)
   WHERE e.tree::pg_catalog.text ~ '{code}'
   UNION ALL SELECT p.partrelid, 6, 'SELECT ' || pg_catalog.pg_get_expr(p.partexprs, p.partrelid), false
   FROM pg_catalog.pg_partitioned_table p WHERE p.partexprs::pg_catalog.text ~ '{code}'
   UNION ALL SELECT s.stxrelid, 16, 'SELECT ' || pg_catalog.pg_get_expr(s.stxexprs, s.stxrelid), false
   FROM pg_catalog.pg_statistic_ext s WHERE s.stxexprs::pg_catalog.text ~ '{code}'
   UNION ALL SELECT DISTINCT a.attrelid, CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_cast c
       WHERE c.oid >= 16384::pg_catalog.oid AND t.oid == ANY (ARRAY[c.castsource, c.casttarget])
       AND c.castcontext == 'i'::pg_catalog."char") THEN 39 ELSE 38 END,
     'SELECT NULL::' || {type}, true
   FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid == a.attrelid
   JOIN pg_catalog.pg_type y ON y.oid == a.atttypid
   JOIN pg_catalog.pg_type t ON t.oid == CASE WHEN y.typcategory == 'A'::pg_catalog."char" THEN y.typelem ELSE y.oid END
   JOIN pg_catalog.pg_namespace n ON n.oid == t.typnamespace
   WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind == ANY (ARRAY['r','v','m','f','p']::pg_catalog."char"[])
   AND {own_type}) h),
 'types', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(h.nspname, h.typname, h.text, h.quiet)) FROM (
   SELECT n.nspname, t.typname, 'SELECT ' || pg_catalog.pg_get_expr(k.conbin, 0::pg_catalog.oid) AS text, false AS quiet
   FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_type t ON t.oid == k.contypid
   JOIN pg_catalog.pg_namespace n ON n.oid == t.typnamespace WHERE k.conbin::pg_catalog.text ~ '{code}'
   AND t.oid >= 16384::pg_catalog.oid
   UNION ALL SELECT n.nspname, t.typname, 'SELECT ' || pg_catalog.pg_get_expr(t.typdefaultbin, 0::pg_catalog.oid), false
   FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid == t.typnamespace
   WHERE t.typdefaultbin::pg_catalog.text ~ '{code}'
   UNION ALL SELECT m.nspname, u.typname, 'SELECT NULL::' || {type}, true
   FROM (SELECT u.oid, u.typname, u.typnamespace, u.typbasetype AS part FROM pg_catalog.pg_type u
       WHERE u.typtype == 'd'::pg_catalog."char"
     UNION ALL SELECT u.oid, u.typname, u.typnamespace, a.atttypid FROM pg_catalog.pg_type u
       JOIN pg_catalog.pg_class c ON c.oid == u.typrelid AND c.relkind == 'c'::pg_catalog."char"
       JOIN pg_catalog.pg_attribute a ON a.attrelid == c.oid AND a.attnum > 0 AND NOT a.attisdropped
     UNION ALL SELECT u.oid, u.typname, u.typnamespace, r.rngsubtype FROM pg_catalog.pg_type u
       JOIN pg_catalog.pg_range r ON u.oid == ANY (ARRAY[r.rngtypid, r.rngmultitypid])) u
   JOIN pg_catalog.pg_namespace m ON m.oid == u.typnamespace
   JOIN pg_catalog.pg_type y ON y.oid == u.part
   JOIN pg_catalog.pg_type t ON t.oid == CASE WHEN y.typcategory == 'A'::pg_catalog."char" THEN y.typelem ELSE y.oid END
   JOIN pg_catalog.pg_namespace n ON n.oid == t.typnamespace WHERE {own_type}
   UNION ALL SELECT m.nspname, u.typname, {call}, true
   FROM (SELECT u.typname, u.typnamespace, f.fn FROM pg_catalog.pg_type u
       JOIN pg_catalog.pg_range r ON u.oid == ANY (ARRAY[r.rngtypid, r.rngmultitypid])
       CROSS JOIN LATERAL (VALUES (r.rngsubdiff), (r.rngcanonical)) f (fn)
     UNION ALL SELECT t.typname, t.typnamespace, f.fn FROM pg_catalog.pg_type t
       CROSS JOIN LATERAL (VALUES (t.typinput), (t.typoutput), (t.typreceive), (t.typsend)) f (fn)
       WHERE t.typtype == 'b'::pg_catalog."char" AND t.typcategory <> 'A'::pg_catalog."char" AND {own_type}
     UNION ALL SELECT t.typname, t.typnamespace, c.castfunc FROM pg_catalog.pg_cast c
       JOIN pg_catalog.pg_type t ON t.oid == ANY (ARRAY[c.castsource, c.casttarget])
       WHERE c.oid >= 16384::pg_catalog.oid AND (t.oid >= 16384::pg_catalog.oid
         OR GREATEST(c.castsource, c.casttarget) < 16384::pg_catalog.oid) AND NOT EXISTS (SELECT 1 FROM {extension}
         AND d.classid == 'pg_catalog.pg_cast'::pg_catalog.regclass AND d.objid == c.oid)) u
   JOIN pg_catalog.pg_namespace m ON m.oid == u.typnamespace
   JOIN pg_catalog.pg_proc p ON p.oid == u.fn::pg_catalog.oid
   JOIN pg_catalog.pg_namespace n ON n.oid == p.pronamespace) h),
 'operators', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(m.nspname, o.oprname, (SELECT {calls}
     FROM pg_catalog.pg_operator x JOIN pg_catalog.pg_proc p ON p.oid == ANY (ARRAY[x.oprcode::pg_catalog.oid,
       CASE WHEN x.oprrest::pg_catalog.oid >= 16384::pg_catalog.oid THEN x.oprrest::pg_catalog.oid END,
       CASE WHEN x.oprjoin::pg_catalog.oid >= 16384::pg_catalog.oid THEN x.oprjoin::pg_catalog.oid END])
     JOIN pg_catalog.pg_namespace n ON n.oid == p.pronamespace
     WHERE x.oid == ANY (ARRAY[o.oid, o.oprcom, o.oprnegate]))))
   FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace m ON m.oid == o.oprnamespace
   WHERE o.oid >= 16384::pg_catalog.oid AND NOT EXISTS (SELECT 1 FROM {extension}
     AND d.classid == 'pg_catalog.pg_operator'::pg_catalog.regclass AND d.objid == o.oid)),
 'keys', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(k.confrelid::pg_catalog.int8,
     k.conrelid::pg_catalog.int8, k.confdeltype, k.confupdtype, (SELECT pg_catalog.json_agg(a.attname)
       FROM pg_catalog.pg_attribute a WHERE a.attrelid == k.confrelid AND a.attnum == ANY (k.confkey)),
     (SELECT pg_catalog.json_agg(a.attname)
       FROM pg_catalog.pg_attribute a WHERE a.attrelid == k.conrelid AND a.attnum == ANY (k.conkey))))
   FROM pg_catalog.pg_constraint k WHERE k.contype == 'f'::pg_catalog."char"
   AND ARRAY[k.confdeltype, k.confupdtype] && ARRAY['c','n','d']::pg_catalog."char"[]),
 'event_triggers', (SELECT pg_catalog.json_agg({call}) FROM pg_catalog.pg_event_trigger e
   JOIN pg_catalog.pg_proc p ON p.oid == e.evtfoid JOIN pg_catalog.pg_namespace n ON n.oid == p.pronamespace
   WHERE e.evtenabled <> 'D'::pg_catalog."char" AND e.evtevent <> 'login'::pg_catalog.name))"""

_PARTS: Final = {
    "{call}": "'SELECT ' || pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(p.proname) || '()'",
    "{calls}": "'SELECT ' || pg_catalog.string_agg(pg_catalog.quote_ident(n.nspname) || '.' || "
    "pg_catalog.quote_ident(p.proname) || '()', ', ')",
    "{type}": "pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname)",
    "{own_type}": "t.oid >= 16384::pg_catalog.oid AND t.typtype <> 'e'::pg_catalog.\"char\" AND NOT EXISTS "
    "(SELECT 1 FROM {extension} AND d.classid == 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid == t.oid)",
    "{own_function}": "n.nspname <> ALL (ARRAY['pg_catalog','information_schema']::pg_catalog.name[]) AND NOT EXISTS "
    "(SELECT 1 FROM {extension} AND d.classid == 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid == p.oid)",
    "{extension}": "pg_catalog.pg_depend d WHERE d.deptype == 'e'::pg_catalog.\"char\"",
    "{extension_of}": "pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid == d.refobjid "
    "AND d.refclassid == 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype == 'e'::pg_catalog.\"char\"",
    # Of the trees of expressions: what calls functions, reads, or converts to a type of the target's own.
    "{code}": "FUNCEXPR|OPEXPR|DISTINCTEXPR|NULLIFEXPR|ROWCOMPARE|COERCEVIAIO|COERCETODOMAIN|ARRAYCOERCE|SUBLINK|"
    "MINMAX|AGGREF|JSONEXPR",
    "{acting}": _ACTING,
}


_OPERATORS: Final = re.compile(r" (==|<>|>=|<=|>>|&&|\|\||[<>&|~])(?=\s)")


def _qualified(query: str) -> str:
    for name, part in _PARTS.items():
        query = query.replace(name, part)
    return _OPERATORS.sub(lambda found: f" OPERATOR(pg_catalog.{found[1].replace('==', '=')})", query)


#: An expression of type json.
UNSEEN_QUERY: Final = _qualified(_QUERY)


class Hook(NamedTuple):
    """Code that something sets off."""

    events: int
    text: str
    #: The server calls the functions directly in it without asking whether the caller may.
    quiet: bool


class Key(NamedTuple):
    """A foreign key of `relation` that carries changes on: what happens there by a deletion and by an update."""

    relation: int
    deleted: Operation | None
    updated: Operation | None
    #: Columns referred to.
    columns: frozenset[str]
    #: Columns of `relation` that refer to them.
    own: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unseen:
    """See the module. Names are (schema, name)."""

    #: Functions of the target's own: definitions of the overloads, None for one that cannot be told.
    functions: dict[tuple[str, str], tuple[str | None, ...]] = field(default_factory=dict)
    #: Functions of extensions: names of those.
    provided: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    #: By relation.
    hooks: dict[int, tuple[Hook, ...]] = field(default_factory=dict)
    #: By name of the type: its schema, and what converting to it may run.
    types: dict[str, tuple[tuple[str, Hook], ...]] = field(default_factory=dict)
    #: By name of the operator: its schema and the same.
    operators: dict[str, tuple[tuple[str, Hook], ...]] = field(default_factory=dict)
    #: By the relation referred to.
    keys: dict[int, tuple[Key, ...]] = field(default_factory=dict)
    #: What any definition sets off.
    event_triggers: tuple[Hook, ...] = ()

    @classmethod
    def build(cls, raw: Any, views: Mapping[int, str]) -> "Unseen":
        """From what `UNSEEN_QUERY` gave. Raises KeyError, TypeError and ValueError when it is something else.

        `views`: their queries, which it leaves out; one that is not there can't be told.
        """
        return cls(
            grouped(((str(s), str(n)), _text(text)) for s, n, text in raw["functions"] or ()),
            grouped(((str(s), str(n)), str(extension)) for s, n, extension in raw["provided"] or ()),
            grouped(
                (int(oid), Hook(int(on), views.get(oid, "") if text is None else str(text), bool(q)))
                for oid, on, text, q in raw["hooks"] or ()
            ),
            grouped((str(n), (str(s), Hook(CONVERT, str(text), bool(q)))) for s, n, text, q in raw["types"] or ()),
            grouped((str(n), (str(s), Hook(CONVERT, str(text), quiet=True))) for s, n, text in raw["operators"] or ()),
            grouped(
                (int(to), Key(int(by), _DELETED.get(gone), _UPDATED.get(new), frozenset(names), frozenset(own)))
                for to, by, gone, new, names, own in raw["keys"] or ()
            ),
            tuple(Hook(DEFINE, str(text), quiet=True) for text in raw["event_triggers"] or ()),
        )


#: ON DELETE and ON UPDATE as pg_constraint has them: cascade, set null, set default.
_DELETED: Final = {"c": Operation.DELETE, "n": Operation.UPDATE, "d": Operation.UPDATE}
_UPDATED: Final = dict.fromkeys("cnd", Operation.UPDATE)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def grouped(pairs: Iterable[Any]) -> dict[Any, tuple[Any, ...]]:
    """Values by key, in order."""
    found: dict[Any, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}
