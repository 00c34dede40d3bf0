"""From a statement's tree to the `lineage.Query` of the rows it returns."""

from collections.abc import Iterable
from typing import Final

from google.protobuf.message import Message

from ostiary.sql.lineage import Computed, Cte, Derived, Expression, Join, Output, Query, Source, Table
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


def returns(node: Message) -> Query | None:
    """What the statement returns; None when it returns nothing, or nobody here follows it."""
    match node.DESCRIPTOR.name:
        case "SelectStmt":
            return None if node.HasField("into_clause") else _select(node)
        case "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt":
            return _change(node)
        case "CopyStmt":
            return _copy(node)
        case "ExplainStmt":
            return Query(outputs=(Output(None, Expression()),))
        case _:
            return None


def _select(node: Message) -> Query:
    ctes = _ctes(node)
    if enum(node, "op") not in ("SETOP_NONE", "SET_OPERATION_UNDEFINED"):
        return Query(ctes, sides=(_select(node.larg), _select(node.rarg)))
    if node.values_lists:
        rows = (unwrap(row) for row in node.values_lists)
        return Query(ctes, rows=tuple(tuple(map(_expression, row.items)) for row in rows if row is not None))
    return Query(ctes, _sources(node.from_clause), _outputs(node.target_list))


def _change(node: Message) -> Query:
    """RETURNING sees the changed relation, under its name and as OLD and NEW, and what stands beside it."""
    clause = getattr(node, "returning_clause", None)
    listed = clause.exprs if clause is not None else ()
    if not listed:
        return Query()
    target = _table(node.relation)
    renamed = {enum(o, "option"): o.value for o in map(unwrap, clause.options) if o is not None} if clause else {}
    aside = tuple(
        Table(target.schema, target.relation, renamed.get(option, name), visible=False)
        for option, name in (("RETURNING_OPTION_OLD", "old"), ("RETURNING_OPTION_NEW", "new"))
    )
    outputs = _outputs(listed)
    match node.DESCRIPTOR.name:
        case "UpdateStmt":
            beside = _sources(node.from_clause)
        case "DeleteStmt":
            beside = _sources(node.using_clause)
        case "MergeStmt":
            return Query(_ctes(node), (*_sources([node.source_relation]), target, *aside), outputs)
        case _:
            beside = ()
    return Query(_ctes(node), (target, *beside, *aside), outputs)


def _copy(node: Message) -> Query | None:
    if node.is_from:
        return None
    if not node.HasField("relation"):
        inner = unwrap(node.query)
        return returns(inner) if inner is not None else None
    table = _table(node.relation)
    names = strings_of(node.attlist)
    listed = tuple(Output(name, Expression(((name,),))) for name in names)
    return Query((), (table,), listed or (Output(None, Expression(), ()),))


def _ctes(node: Message) -> tuple[Cte, ...]:
    if not node.HasField("with_clause"):
        return ()
    found = []
    for cte in map(unwrap, node.with_clause.ctes):
        if cte is None:
            continue
        inner = unwrap(cte.ctequery)
        extra = cte.HasField("search_clause") or cte.HasField("cycle_clause")
        query = None if inner is None or extra else returns(inner)
        recursive = bool(node.with_clause.recursive)
        found.append(Cte(cte.ctename, query, tuple(strings_of(cte.aliascolnames)), recursive))
    return tuple(found)


# ---------------------------------------------------------------- FROM


def _sources(nodes: Iterable[Message]) -> tuple[Source, ...]:
    return tuple(_source(node) for node in map(unwrap, nodes) if node is not None)


def _source(node: Message) -> Source:
    names = tuple(strings_of(node.alias.colnames)) if hasattr(node, "alias") else ()
    alias = node.alias.aliasname if hasattr(node, "alias") else ""
    match node.DESCRIPTOR.name:
        case "RangeVar":
            return _table(node)
        case "RangeSubselect":
            inner = unwrap(node.subquery)
            assert inner is not None
            return Derived(_select(inner), alias, names)
        case "JoinExpr":
            (left,), (right,) = _sources([node.larg]), _sources([node.rarg])
            using = None if node.is_natural else tuple(strings_of(node.using_clause))
            if node.HasField("join_using_alias"):
                # `USING (a) AS x`: one more name for the merged columns, which nobody here follows.
                return _OPAQUE
            return Join(left, right, using, alias, names)
        case "RangeTableSample":
            return _source_of(node.relation)
        case "RangeFunction":
            defined = tuple(c.colname for c in map(unwrap, node.coldeflist) if c is not None)
            single = names or defined
            complete = bool(defined) or (len(names) == 1 and _one_column(node))
            ordinal = ("ordinality",) if node.ordinality and complete and len(names) == len(single) else ()
            return Computed(_expression(node), alias or _function_name(node), (single + ordinal) if complete else None)
        case "JsonTable" | "RangeTableFunc":
            return Computed(_expression(node), alias, names or None)
        case _:
            return _OPAQUE


def _source_of(node: Message) -> Source:
    inner = unwrap(node)
    assert inner is not None
    return _source(inner)


def _table(node: Message) -> Table:
    alias = node.alias.aliasname or node.relname
    return Table(node.schemaname or None, node.relname, alias, tuple(strings_of(node.alias.colnames)))


#: Functions in FROM that have one column, named as the alias says.
_ONE_COLUMN: Final = frozenset({"generate_series", "generate_subscripts", "regexp_split_to_table", "string_to_table"})


def _one_column(node: Message) -> bool:
    return not node.ordinality and not node.is_rowsfrom and _function_name(node) in _ONE_COLUMN


def _function_name(node: Message) -> str:
    first = unwrap(node.functions[0]) if node.functions else None
    call = unwrap(first.items[0]) if first is not None and first.items else None
    return strings_of(call.funcname)[-1] if call is not None and call.DESCRIPTOR.name == "FuncCall" else ""


# ---------------------------------------------------------------- outputs


def _outputs(nodes: Iterable[Message]) -> tuple[Output, ...]:
    found = []
    for node in map(unwrap, nodes):
        if node is None:
            continue
        value = unwrap(node.val)
        if value is not None and value.DESCRIPTOR.name == "ColumnRef" and kind_of(value.fields[-1]) == "A_Star":
            found.append(Output(None, Expression(), tuple(strings_of(value.fields[:-1]))))
        elif value is not None and value.DESCRIPTOR.name == "A_Indirection" and _is_star(value):
            # `(row).*`: as many columns as the type has.
            found.append(Output(None, _expression(value), _NOWHERE))
        else:
            found.append(Output(node.name or _name(value), _expression(node.val)))
    return tuple(found)


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
        case "A_Const" | "A_Expr" | "ParamRef" | "BoolExpr" | "NullTest" | "BooleanTest":
            return "?column?"
        case kind:
            return _NAMED_BY_KIND.get(kind)


def _expression(node: Message) -> Expression:
    references: dict[tuple[str, ...], None] = {}
    queries: list[Query] = []
    _collect(node, references, queries)
    return Expression(tuple(references), tuple(queries))


def _collect(node: Message, references: dict[tuple[str, ...], None], queries: list[Query]) -> None:
    inner = unwrap(node)
    if inner is None:
        return
    match inner.DESCRIPTOR.name:
        case "ColumnRef":
            path = tuple("*" if kind_of(f) == "A_Star" else string_of(f) for f in inner.fields)
            references[path] = None
            return
        case "FuncCall" if strings_of(inner.funcname) in (["count"], ["pg_catalog", "count"]):
            return
        case "SubLink":
            if enum(inner, "sub_link_type") == "EXISTS_SUBLINK":
                return
            _collect(inner.testexpr, references, queries)
            _collect(inner.subselect, references, queries)
            return
        case "SelectStmt":
            queries.append(_select(inner))
            return
        case _:
            for child in children(inner):
                _collect(child, references, queries)
