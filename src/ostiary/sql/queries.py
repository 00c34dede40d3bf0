"""SELECT and what stands in FROM: what is read, made by INTO, or locked."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from google.protobuf.message import Message

from ostiary.core import Operation
from ostiary.sql.definitions import Handler
from ostiary.sql.flows import made_of
from ostiary.sql.nodes import constant, enum, kind_of, strings_of, unwrap

if TYPE_CHECKING:
    from ostiary.sql.walk import Walk


def _range_var(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    walk.relation(Operation.READ, node, scope)


def _select(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    scope = walk.with_names(node, scope)
    if node.HasField("into_clause"):
        into = node.into_clause
        walk.relation(Operation.DEFINE, into.rel, new=True)
        walk.flow(made_of(into.rel, node, walk.withs, into.col_names))
    for clause in map(unwrap, node.locking_clause):
        if clause is not None:
            named = {item.relname for item in map(unwrap, clause.locked_rels) if item is not None}
            _lock_rows(walk, node.from_clause, named, scope)
    known, walk.known = walk.known, _known(node)
    walk.descend(node, scope, ("with_clause", "into_clause", "locking_clause"))
    walk.known = known


def _known(select: Message) -> dict[tuple[str, ...], str]:
    """The column that a condition with nothing else in it says to be a constant."""
    where = unwrap(select.where_clause)
    if where is None or where.DESCRIPTOR.name != "A_Expr" or enum(where, "kind") != "AEXPR_OP":
        return {}
    # Through a cast another value would be equal: `'role '::char(5)`.
    column, value = unwrap(where.lexpr), constant(where.rexpr) if kind_of(where.rexpr) == "A_Const" else None
    if strings_of(where.name) != ["="] or column is None or column.DESCRIPTOR.name != "ColumnRef" or value is None:
        return {}
    return {tuple(strings_of(column.fields)): value}


def _lock_rows(walk: "Walk", sources: Iterable[Message], named: set[str], scope: frozenset[str]) -> None:
    """FOR UPDATE and its like lock rows, through joins and subqueries; the server asks for UPDATE too."""
    for source in map(unwrap, sources):
        if source is None:
            continue
        match source.DESCRIPTOR.name:
            case "RangeVar":
                if not named or (source.alias.aliasname or source.relname) in named:
                    walk.relation(Operation.UPDATE, source, scope, kind="locked")
            case "JoinExpr":
                _lock_rows(walk, [source.larg, source.rarg], named, scope)
            case "RangeSubselect" if not named or source.alias.aliasname in named:
                select = unwrap(source.subquery)
                if select is not None:
                    _lock_rows(walk, select.from_clause, set(), _names(select, scope))
            case "RangeTableSample":
                _lock_rows(walk, [source.relation], named, scope)
            case _:
                pass


def _names(select: Message, scope: frozenset[str]) -> frozenset[str]:
    return scope | {cte.ctename for cte in map(unwrap, select.with_clause.ctes) if cte is not None}


def _create_as(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    walk.relation(Operation.DEFINE, node.into.rel, new=True)
    if not node.into.skip_data:
        walk.flow(made_of(node.into.rel, node.query, walk.withs, node.into.col_names))
    walk.visit(node.query, scope)


HANDLERS: Final[dict[str, Handler]] = {
    "RangeVar": _range_var,
    "SelectStmt": _select,
    "CreateTableAsStmt": _create_as,
}
