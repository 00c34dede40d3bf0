"""From a statement's tree to the `lineage.Query` of the rows it returns."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypedDict

from google.protobuf.message import Message

from ostiary.sql.lineage import Computed, Cte, Derived, Expression, Join, Meeting, Output, Query, Source, Store, Table
from ostiary.sql.nodes import children, enum, kind_of, string_of, strings_of, unwrap

_NAMED_BY_KIND: Final = {
    "CoalesceExpr": "coalesce",
    "RowExpr": "row",
    "A_ArrayExpr": "array",
    "XmlSerialize": "xmlserialize",
}

#: A reference that no level can place: what depends on it cannot be told.
_NOWHERE: Final = ("?",)
_OPAQUE: Final = Computed(Expression((_NOWHERE,)), "")


def returns(node: Message, ordinals: Mapping[int, int]) -> Query | None:
    """What the statement returns; None when it returns nothing, or nobody here follows it.

    `ordinals`: location of each parameter in the text → its place among them.
    """
    return Bones(ordinals).query(node, top=True)


class _Fields(TypedDict):
    meetings: tuple[Meeting, ...]
    inner: tuple[Query, ...]


class Bones:
    """Makes the query of one statement. `ordinals`: location of each parameter in the text → its place among them."""

    def __init__(self, ordinals: Mapping[int, int]) -> None:
        self._ordinals = ordinals

    def query(self, node: Message, *, top: bool) -> Query | None:
        """What the statement returns; `top`: to the client, and to nothing else in the statement."""
        match node.DESCRIPTOR.name:
            case "SelectStmt":
                return None if node.HasField("into_clause") else self.select(node, top=top)
            case "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt":
                return self._change(node, top=top)
            case "CopyStmt":
                return self._copy(node)
            case "ExplainStmt":
                return Query(outputs=(Output(None, Expression()),))
            case _:
                return None

    def select(self, node: Message, *, top: bool = False) -> Query:
        """Of a SelectStmt."""
        ctes = self.ctes(node)
        if enum(node, "op") not in ("SETOP_NONE", "SET_OPERATION_UNDEFINED"):
            # But for UNION ALL, rows of one side are compared with the other's.
            top &= node.all
            return Query(ctes, sides=(self.select(node.larg, top=top), self.select(node.rarg, top=top)))
        if node.values_lists:
            rows = (unwrap(row) for row in node.values_lists)
            return Query(ctes, rows=tuple(tuple(map(self.expression, row.items)) for row in rows if row is not None))
        met = _Met()
        if self._ordinals:
            for condition in (node.where_clause, node.having_clause, node.limit_count, node.limit_offset):
                self._meet(condition, met)
            choosing = (node.distinct_clause, node.group_clause, node.window_clause, node.sort_clause)
            for each in (*(item for items in choosing for item in items), *_quals(node.from_clause)):
                self._meet(each, met)
            for item in node.target_list:
                # Further in, what is selected may meet anything further out.
                self._meet(item, met if top else _Met(inner=met.inner))
        return Query(ctes, self.sources(node.from_clause), self._outputs(node.target_list), **met.fields())

    def _change(self, node: Message, *, top: bool) -> Query:
        """RETURNING sees the changed relation, under its name and as OLD and NEW, and what stands beside it."""
        listed = node.returning_clause.exprs
        if not listed and not self._ordinals:
            return Query()
        target = replace(table_of(node.relation), changed=True, written=True)
        renamed = {enum(o, "option"): o.value for o in map(unwrap, node.returning_clause.options) if o is not None}
        aside = tuple(
            replace(target, alias=renamed.get(option, name), columns=(), visible=False, written=name != "old")
            for option, name in (("RETURNING_OPTION_OLD", "old"), ("RETURNING_OPTION_NEW", "new"), ("", "excluded"))
        )
        stores = tuple(self.stores(node)) if listed else ()
        met = _Met()
        if self._ordinals:
            for item in listed:
                self._meet(item, met if top else _Met(inner=met.inner))
        match node.DESCRIPTOR.name:
            case "UpdateStmt":
                sources = (target, *self.sources(node.from_clause))
                self._store(node.target_list, target, met)
                for each in (node.where_clause, *_quals(node.from_clause)):
                    self._meet(each, met)
            case "DeleteStmt":
                sources = (target, *self.sources(node.using_clause))
                for each in (node.where_clause, *_quals(node.using_clause)):
                    self._meet(each, met)
            case "MergeStmt":
                sources = (*self.sources([node.source_relation]), target)
                self._merge(node, target, met)
            case _:
                sources = (target,)
                self._insert(node, target, met)
        return Query(self.ctes(node), (*sources, *aside), self._outputs(listed), stores=stores, **met.fields())

    def stores(self, node: Message) -> Iterator[Store]:
        """What a change puts in its relation."""
        match node.DESCRIPTOR.name:
            case "InsertStmt":
                select = unwrap(node.select_stmt)
                if select is not None:
                    names = tuple(item.name for item in map(unwrap, node.cols) if item is not None)
                    yield Store(names or None, self.select(select))
                yield from self._set(node.on_conflict_clause.target_list)
            case "UpdateStmt":
                yield from self._set(node.target_list)
            case "MergeStmt":
                for clause in map(unwrap, node.merge_when_clauses):
                    if clause is None:
                        continue
                    if enum(clause, "command_type") == "CMD_INSERT":
                        names = tuple(item.name for item in map(unwrap, clause.target_list) if item is not None)
                        yield Store(names or None, Query(rows=(tuple(map(self.expression, clause.values)),)))
                    else:
                        yield from self._set(clause.target_list)

    def _set(self, items: Iterable[Message]) -> Iterator[Store]:
        for item in map(unwrap, items):
            if item is not None:
                yield Store((item.name,), Query(rows=((self.expression(item.val),),)))

    # ------------------------------------------------------------ parameters

    def _meet(self, node: Message, met: "_Met", stored: tuple[tuple[str, ...], ...] = ()) -> None:
        """Parameters in an expression meet its columns, and those it is stored in; AND and OR keep theirs apart."""
        inner = unwrap(node)
        if inner is None or not self._ordinals:
            return
        if inner.DESCRIPTOR.name == "BoolExpr":
            for arg in inner.args:
                self._meet(arg, met, stored)
            return
        ordinals: list[int] = []
        self._find(inner, ordinals, met.inner)
        if ordinals:
            references: dict[tuple[str, ...], None] = dict.fromkeys(stored)
            queries: list[Query] = []
            self._collect(inner, references, queries, whole=True)
            met.meetings.append(Meeting(tuple(ordinals), Expression(tuple(references), tuple(queries))))

    def _find(self, node: Message, ordinals: list[int], queries: list[Query]) -> None:
        """Parameters of an expression, but for those of its subqueries, which are queries of their own."""
        kind = node.DESCRIPTOR.name
        if kind == "ParamRef":
            ordinals.append(self._ordinals[node.location])
        elif kind == "SelectStmt":
            queries.append(self.select(node))
        else:
            for child in children(node):
                self._find(child, ordinals, queries)

    def _store(self, items: Iterable[Message], target: Table, met: "_Met") -> None:
        """SET items."""
        for item in map(unwrap, items):
            if item is not None:
                self._meet(item.val, met, ((target.alias, item.name),))

    def _insert(self, node: Message, target: Table, met: "_Met") -> None:
        select = unwrap(node.select_stmt)
        if select is None or not self._ordinals:
            return
        names = [item.name for item in map(unwrap, node.cols) if item is not None]
        for row in map(unwrap, select.values_lists):
            for index, value in enumerate(row.items if row is not None else ()):
                # Without a list of columns only the server's order tells which one it is.
                column = names[index] if index < len(names) else "*"
                self._meet(value, met, ((target.alias, column),))
        if not select.values_lists or select.HasField("with_clause"):
            met.inner.append(self.select(select))
        if node.HasField("on_conflict_clause"):
            self._store(node.on_conflict_clause.target_list, target, met)
            self._meet(node.on_conflict_clause.where_clause, met)

    def _merge(self, node: Message, target: Table, met: "_Met") -> None:
        self._meet(node.join_condition, met)
        for clause in map(unwrap, node.merge_when_clauses):
            if clause is None:
                continue
            self._meet(clause.condition, met)
            if enum(clause, "command_type") == "CMD_INSERT":
                names = [item.name for item in map(unwrap, clause.target_list) if item is not None]
                for index, value in enumerate(clause.values):
                    column = names[index] if index < len(names) else "*"
                    self._meet(value, met, ((target.alias, column),))
            else:
                self._store(clause.target_list, target, met)

    def _copy(self, node: Message) -> Query | None:
        if node.is_from:
            return None
        if not node.HasField("relation"):
            inner = unwrap(node.query)
            return self.query(inner, top=True) if inner is not None else None
        table = table_of(node.relation)
        names = strings_of(node.attlist)
        listed = tuple(Output(name, Expression(((name,),))) for name in names)
        return Query((), (table,), listed or (Output(None, Expression(), ()),))

    def ctes(self, node: Message) -> tuple[Cte, ...]:
        """Of its WITH clause."""
        if not node.HasField("with_clause"):
            return ()
        found = []
        for cte in map(unwrap, node.with_clause.ctes):
            if cte is None:
                continue
            inner = unwrap(cte.ctequery)
            extra = cte.HasField("search_clause") or cte.HasField("cycle_clause")
            query = None if inner is None or extra else self.query(inner, top=False)
            recursive = bool(node.with_clause.recursive)
            found.append(Cte(cte.ctename, query, tuple(strings_of(cte.aliascolnames)), recursive))
        return tuple(found)

    # ---------------------------------------------------------------- FROM

    def sources(self, nodes: Iterable[Message]) -> tuple[Source, ...]:
        """Of a FROM clause."""
        return tuple(self._source(node) for node in map(unwrap, nodes) if node is not None)

    def _source(self, node: Message) -> Source:
        names = tuple(strings_of(node.alias.colnames)) if hasattr(node, "alias") else ()
        alias = node.alias.aliasname if hasattr(node, "alias") else ""
        match node.DESCRIPTOR.name:
            case "RangeVar":
                return table_of(node)
            case "RangeSubselect":
                inner = unwrap(node.subquery)
                assert inner is not None
                return Derived(self.select(inner), alias, names)
            case "JoinExpr":
                (left,), (right,) = self.sources([node.larg]), self.sources([node.rarg])
                using = None if node.is_natural else tuple(strings_of(node.using_clause))
                if node.HasField("join_using_alias"):
                    # `USING (a) AS x`: one more name for the merged columns, which nobody here follows.
                    return _OPAQUE
                return Join(left, right, using, alias, names)
            case "RangeTableSample":
                return self._source_of(node.relation)
            case "RangeFunction":
                defined = tuple(c.colname for c in map(unwrap, node.coldeflist) if c is not None)
                single = names or defined
                complete = bool(defined) or (len(names) == 1 and _one_column(node))
                ordinal = ("ordinality",) if node.ordinality and complete and len(names) == len(single) else ()
                return Computed(
                    self.expression(node), alias or _function_name(node), (single + ordinal) if complete else None
                )
            case "JsonTable" | "RangeTableFunc":
                return Computed(self.expression(node), alias, names or None)
            case _:
                return _OPAQUE

    def _source_of(self, node: Message) -> Source:
        inner = unwrap(node)
        assert inner is not None
        return self._source(inner)

    # ---------------------------------------------------------------- outputs

    def _outputs(self, nodes: Iterable[Message]) -> tuple[Output, ...]:
        found = []
        for node in map(unwrap, nodes):
            if node is None:
                continue
            value = unwrap(node.val)
            if value is not None and value.DESCRIPTOR.name == "ColumnRef" and kind_of(value.fields[-1]) == "A_Star":
                found.append(Output(None, Expression(), tuple(strings_of(value.fields[:-1]))))
            elif value is not None and value.DESCRIPTOR.name == "A_Indirection" and _is_star(value):
                # `(row).*`: as many columns as the type has.
                found.append(Output(None, self.expression(value), _NOWHERE))
            else:
                bare = value is not None and value.DESCRIPTOR.name == "ColumnRef"
                found.append(Output(node.name or _name(value), self.expression(node.val), bare=bare))
        return tuple(found)

    def expression(self, node: Message) -> Expression:
        """What a value may be computed from."""
        references: dict[tuple[str, ...], None] = {}
        queries: list[Query] = []
        self._collect(node, references, queries)
        return Expression(tuple(references), tuple(queries))

    def _collect(
        self, node: Message, references: dict[tuple[str, ...], None], queries: list[Query], *, whole: bool = False
    ) -> None:
        """`whole`: what is in `count` and EXISTS too."""
        inner = unwrap(node)
        if inner is None:
            return
        match inner.DESCRIPTOR.name:
            case "ColumnRef":
                path = tuple("*" if kind_of(f) == "A_Star" else string_of(f) for f in inner.fields)
                references[path] = None
                return
            case "FuncCall" if not whole and strings_of(inner.funcname) in (["count"], ["pg_catalog", "count"]):
                return
            case "FuncCall" if strings_of(inner.funcname) == ["pg_catalog", "system_user"]:
                # Before PostgreSQL 16 the word is no keyword: a column may have it for its name.
                references[_NOWHERE] = None
                return
            case "SubLink":
                if not whole and enum(inner, "sub_link_type") == "EXISTS_SUBLINK":
                    return
                self._collect(inner.testexpr, references, queries, whole=whole)
                self._collect(inner.subselect, references, queries)
                return
            case "SelectStmt":
                queries.append(self.select(inner))
                return
            case _:
                for child in children(inner):
                    self._collect(child, references, queries, whole=whole)


#: Functions in FROM that have one column, named as the alias says.
_ONE_COLUMN: Final = frozenset({"generate_series", "generate_subscripts", "regexp_split_to_table", "string_to_table"})


@dataclass(slots=True)
class _Met:
    """Meetings of a query's parameters, and subqueries whose own may be anywhere in it."""

    meetings: list[Meeting] = field(default_factory=list)
    inner: list[Query] = field(default_factory=list)

    def fields(self) -> _Fields:
        return {"meetings": tuple(self.meetings), "inner": tuple(self.inner)}


def _quals(nodes: Iterable[Message]) -> Iterator[Message]:
    """ON conditions."""
    for node in map(unwrap, nodes):
        if node is not None and node.DESCRIPTOR.name == "JoinExpr":
            yield node.quals
            yield from _quals([node.larg, node.rarg])


def table_of(node: Message) -> Table:
    """Of a RangeVar."""
    alias = node.alias.aliasname or node.relname
    return Table(node.schemaname or None, node.relname, alias, tuple(strings_of(node.alias.colnames)))


def _one_column(node: Message) -> bool:
    return not node.ordinality and not node.is_rowsfrom and _function_name(node) in _ONE_COLUMN


def _function_name(node: Message) -> str:
    first = unwrap(node.functions[0]) if node.functions else None
    call = unwrap(first.items[0]) if first is not None and first.items else None
    return strings_of(call.funcname)[-1] if call is not None and call.DESCRIPTOR.name == "FuncCall" else ""


def _is_star(node: Message) -> bool:
    return any(kind_of(item) == "A_Star" for item in node.indirection)


def _name(node: Message | None) -> str | None:
    """FigureColname of parse_target.c, where it is plain; None where it is not."""
    if node is None:
        return None
    match node.DESCRIPTOR.name:
        case "ColumnRef":
            return string_of(node.fields[-1]) or None
        case "FuncCall":
            return strings_of(node.funcname)[-1]
        case "TypeCast":
            return _name(unwrap(node.arg)) or strings_of(node.type_name.names)[-1]
        case "CollateClause":
            return _name(unwrap(node.arg))
        case "A_Expr" if enum(node, "kind") == "AEXPR_NULLIF":
            return "nullif"
        case "A_Const" | "A_Expr" | "ParamRef" | "BoolExpr" | "NullTest" | "BooleanTest":
            return "?column?"
        case kind:
            return _NAMED_BY_KIND.get(kind)
