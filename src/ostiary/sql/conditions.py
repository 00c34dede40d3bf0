"""Does a WHERE clause limit anything? By form alone: `1 = 1` and `$1 = $2` are alike, whatever their values.

A condition limits when it compares a column of the rows being changed with something else. It does not when it has
no such column, compares a column with itself (`id = id`, `id = id + 0`), asks an identifier that is never null, or
has one OR branch that does not limit. What only values or data decide (`name LIKE '%'`, `id > -1`) counts as limiting.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from ostiary.sql.nodes import children, enum, kind_of, string_of, strings_of, unwrap

_SYSTEM: Final = frozenset({"tableoid", "xmin", "xmax", "cmin", "cmax"})
_COMPARISONS: Final = frozenset({"=", "<>", "!=", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*"})
_PAIRS: Final = (
    ("=", "<>"), ("same", "distinct"), ("null", "not null"), ("it", "not it"), ("IN =", "IN <>"),
    ("IS_TRUE", "IS_NOT_TRUE"), ("IS_FALSE", "IS_NOT_FALSE"), ("IS_UNKNOWN", "IS_NOT_UNKNOWN"),
    ("LIKE ~~", "LIKE !~~"), ("ILIKE ~~*", "ILIKE !~~*"), ("SIMILAR ~", "SIMILAR !~"), ("~", "!~"), ("~*", "!~*"),
    ("BETWEEN BETWEEN", "NOT_BETWEEN NOT BETWEEN"),
)  # fmt: skip
_OPPOSITE: Final = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_BOOLEAN: Final = frozenset({"BoolExpr", "NullTest", "BooleanTest", "CaseExpr"})
#: May be: `coalesce(id, 0) IS NOT NULL` holds for every row.
_NEVER_NULL: Final = frozenset({"CoalesceExpr", "RowExpr", "A_ArrayExpr", "CaseExpr"})


@dataclass(frozen=True, slots=True)
class Row:
    """The rows that a statement changes, as its condition can name them."""

    #: The relation itself.
    relation: str
    #: Its alias, or its name without one.
    name: str
    #: Nothing stands beside it (FROM, USING): a column without a table's name is its own.
    alone: bool = True
    #: Other names of the same relation in the statement: `DELETE FROM t USING t AS other`.
    twins: frozenset[str] = frozenset()
    #: Names that are variables, of a DO block.
    variables: frozenset[str] = frozenset()


def limits(clause: Message, row: Row, *, negated: bool = False) -> bool:
    """False when the condition holds for every row, or may by its form."""
    node = unwrap(clause)
    if node is None:
        return False
    match node.DESCRIPTOR.name:
        case "BoolExpr":
            kind = enum(node, "boolop")
            if kind == "NOT_EXPR":
                return limits(node.args[0], row, negated=not negated)
            verdicts = [limits(arg, row, negated=negated) for arg in node.args]
            if (kind == "AND_EXPR") is not negated:
                return any(verdicts)
            return all(verdicts) and not _complementary(node.args)
        case "A_Expr":
            return _compares(node, row)
        case "NullTest":
            return _column(node.arg, row, ctid=False) and not (
                _is_boolean(node.arg) or kind_of(node.arg) in _NEVER_NULL
            )
        case "BooleanTest":
            kind = enum(node, "booltesttype")
            if kind in ("IS_UNKNOWN", "IS_NOT_UNKNOWN"):
                return False
            return limits(node.arg, row, negated=negated is not (kind in ("IS_FALSE", "IS_NOT_TRUE")))
        case "SubLink":
            return _selects(node, row)
        case "TypeCast" | "CollateClause":
            return limits(node.arg, row, negated=negated)
        case "CoalesceExpr":
            return limits(node.args[0], row, negated=negated)
        case "CaseExpr":
            results = [when.result for when in children(node) if when.DESCRIPTOR.name == "CaseWhen"]
            results += [node.defresult] if node.HasField("defresult") else []
            return all(limits(result, row, negated=negated) for result in results)
        case "CurrentOfExpr":
            return True
        case _:
            return _column(node, row)


def _complementary(args: Iterable[Message]) -> bool:
    """`a = 1 OR a <> 1`, `a IS NULL OR a IS NOT NULL`: by form, one of them holds."""
    found: set[tuple[frozenset[tuple[str, ...]], str]] = set()
    for arg in args:
        columns, form = frozenset(_columns_of(arg)), _form(arg, negated=False)
        if (columns, _OPPOSITE.get(form, "")) in found:
            return True
        found.add((columns, form))
    return False


def _form(node: Message, *, negated: bool) -> str:
    """How a condition compares: "=", "in", "is null" …; "" for any other."""
    inner = unwrap(node)
    form = ""
    if inner is not None:
        match inner.DESCRIPTOR.name:
            case "BoolExpr" if enum(inner, "boolop") == "NOT_EXPR":
                return _form(inner.args[0], negated=not negated)
            case "A_Expr":
                kind = enum(inner, "kind").removeprefix("AEXPR_")
                name = strings_of(inner.name)[-1]
                form = {"OP": name, "NOT_DISTINCT": "same", "DISTINCT": "distinct"}.get(kind, f"{kind} {name}")
            case "NullTest":
                form = "null" if enum(inner, "nulltesttype") == "IS_NULL" else "not null"
            case "BooleanTest":
                form = enum(inner, "booltesttype")
            case "ColumnRef":
                form = "it"
            case _:
                pass
    return _OPPOSITE.get(form, "") if negated else form


def _compares(node: Message, row: Row) -> bool:
    left, right = unwrap(node.lexpr), unwrap(node.rexpr)
    sides = [side for side in (left, right) if side is not None]
    if any(_is_boolean(side) for side in sides):
        return False
    if left is not None and right is not None:
        mine, other = (_columns(side) if not _is_scalar(side) else set() for side in (left, right))
        if mine and {path[-1:] for path in mine} == {path[-1:] for path in other} and _same(mine, other, row):
            return False
    return any(_column(side, row) for side in sides)


def _is_scalar(node: Message) -> bool:
    """One value of other rows."""
    if node.DESCRIPTOR.name != "SubLink" or enum(node, "sub_link_type") != "EXPR_SUBLINK":
        return False
    select = unwrap(node.subselect)
    return select is not None and bool(select.from_clause)


def _same(left: set[tuple[str, ...]], right: set[tuple[str, ...]], row: Row) -> bool:
    """Both sides, which have the same column names, mean the same rows of the same relation."""
    mine = {row.name, *row.twins}
    return all(len(path) == 1 or path[-2] in mine for path in left | right)


def _is_boolean(node: Message) -> bool:
    inner = unwrap(node)
    if inner is None:
        return False
    kind = inner.DESCRIPTOR.name
    if kind == "A_Expr":
        return enum(inner, "kind") != "AEXPR_OP" or strings_of(inner.name)[-1] in _COMPARISONS
    if kind == "CoalesceExpr":
        return any(_is_boolean(arg) for arg in inner.args)
    if kind == "SubLink":
        return enum(inner, "sub_link_type") not in ("EXPR_SUBLINK", "ARRAY_SUBLINK")
    return kind in _BOOLEAN


def _selects(node: Message, row: Row) -> bool:
    select = unwrap(node.subselect)
    if select is None:
        return False
    inside = Row(row.relation, row.name, alone=False, twins=row.twins, variables=row.variables)
    if node.HasField("testexpr") and _column(node.testexpr, row):
        return not _everything_of(select, _lasts(_columns(node.testexpr)), row)
    if enum(node, "sub_link_type") == "EXISTS_SUBLINK" and not select.values_lists and not select.HasField("larg"):
        return _correlates(select, row)
    return _column(select, inside)


def _correlates(select: Message, row: Row) -> bool:
    """Is there a condition on the row in it, other than that it is itself?"""
    waiting = [source for source in map(unwrap, select.from_clause) if source is not None]
    conditions = [select.where_clause, select.having_clause]
    twins = set(row.twins)
    while waiting:
        source = waiting.pop()
        match source.DESCRIPTOR.name:
            case "RangeVar":
                if source.relname == row.relation:
                    twins.add(source.alias.aliasname or source.relname)
            case "JoinExpr":
                waiting += (side for side in map(unwrap, (source.larg, source.rarg)) if side is not None)
                conditions.append(source.quals)
            case _ if _column(source, row):
                return True
            case _:
                pass
    # Where there is nothing else, a column without a table's name is the row's.
    alone = not select.from_clause and row.alone
    inside = Row(row.relation, row.name, alone=alone, twins=frozenset(twins), variables=row.variables)
    return any(limits(condition, inside) for condition in conditions)


def _everything_of(select: Message, names: set[str], row: Row) -> bool:
    """It gives the named columns of every row of the relation that is changed, or of the row itself."""
    if select.HasField("larg"):
        both = [_everything_of(side, names, row) for side in (select.larg, select.rarg)]
        return any(both) if enum(select, "op") == "SETOP_UNION" else all(both)
    if select.HasField("having_clause") or select.HasField("limit_count"):
        return False
    sources = [source for source in map(unwrap, select.from_clause) if source is not None]
    selected = {path for item in (*select.target_list, *select.values_lists) for path in _columns_of(item)}
    if not names <= _lasts(selected) and "" not in _lasts(selected):
        return False
    if not sources:
        return all(len(path) == 1 or path[-2] == row.name for path in selected)
    if any(source.DESCRIPTOR.name != "RangeVar" or source.relname != row.relation for source in sources):
        return False
    its = Row(row.relation, sources[0].alias.aliasname or row.relation, alone=len(sources) == 1)
    return not (select.HasField("where_clause") and limits(select.where_clause, its))


def _columns_of(node: Message) -> set[tuple[str, ...]]:
    inner = unwrap(node)
    return set() if inner is None else _columns(inner)


def _lasts(paths: set[tuple[str, ...]]) -> set[str]:
    return {path[-1] for path in paths}


def _columns(node: Message) -> set[tuple[str, ...]]:
    if node.DESCRIPTOR.name == "Node":
        return _columns_of(node)
    if node.DESCRIPTOR.name == "ColumnRef":
        return {tuple(string_of(field) for field in node.fields)}
    return {path for child in children(node) for path in _columns(child)}


def _column(node: Message, row: Row, *, ctid: bool = True) -> bool:
    """Is there a column of the row in it?"""
    inner = unwrap(node)
    if inner is None:
        return False
    if inner.DESCRIPTOR.name == "ColumnRef":
        path = [string_of(field) for field in inner.fields]
        if path[-1] in _SYSTEM or path[-1] == "" or (path[-1] == "ctid" and not ctid):
            return False
        if len(path) == 1:
            return row.alone and path[0] not in row.variables and path[0] != row.name
        return path[-2] == row.name
    if inner.DESCRIPTOR.name == "SubLink":
        return _selects(inner, row)
    return any(_column(child, row, ctid=ctid) for child in children(inner))
