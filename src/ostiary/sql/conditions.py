"""Does a WHERE clause limit anything? By form alone: `1 = 1` and `$1 = $2` are alike, whatever their values.

A condition limits when it compares a column of the rows being changed with something else. It does not when it has
no such column, compares a column with itself (`id = id`, `id = id + 0`), asks an identifier that is never null, or
has one OR branch that does not limit. What only values or data decide (`name LIKE '%'`, `id > -1`) counts as limiting.
"""

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from ostiary.sql.nodes import children, enum, kind_of, string_of, strings_of, unwrap

_SYSTEM: Final = frozenset({"tableoid", "xmin", "xmax", "cmin", "cmax"})
_COMPARISONS: Final = frozenset({"=", "<>", "!=", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*"})
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
            return any(verdicts) if (kind == "AND_EXPR") is not negated else all(verdicts)
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


def _compares(node: Message, row: Row) -> bool:
    left, right = unwrap(node.lexpr), unwrap(node.rexpr)
    sides = [side for side in (left, right) if side is not None]
    if any(_is_boolean(side) for side in sides):
        return False
    if left is not None and right is not None:
        mine, other = _columns(left), _columns(right)
        if mine and {path[-1:] for path in mine} == {path[-1:] for path in other} and _same(mine, other, row):
            return False
    return any(_column(side, row) for side in sides)


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
    inside = Row(row.relation, row.name, alone=False, twins=row.twins, variables=row.variables)
    select = unwrap(node.subselect)
    if node.HasField("testexpr") and _column(node.testexpr, row):
        return select is None or not _everything_of(select, row)
    return select is not None and _column(select, inside)


def _everything_of(select: Message, row: Row) -> bool:
    """`SELECT id FROM t` with nothing more to it, of the relation that is changed."""
    given = {field.name for field, value in select.ListFields() if field.message_type is not None}
    sources = [unwrap(item) for item in getattr(select, "from_clause", ())]
    return given == {"target_list", "from_clause"} and any(
        source is not None and getattr(source, "relname", "") == row.relation for source in sources
    )


def _columns(node: Message) -> set[tuple[str, ...]]:
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
