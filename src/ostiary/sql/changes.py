"""INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY, LOCK: what happens to rows, and whether a condition limits it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from google.protobuf.message import Message

from ostiary.core import Operation
from ostiary.sql.conditions import Row, limits
from ostiary.sql.definitions import Handler
from ostiary.sql.flows import Outside, written
from ostiary.sql.model import Name, Touch
from ostiary.sql.nodes import enum, unwrap

if TYPE_CHECKING:
    from ostiary.sql.walk import Walk

_MERGES: Final = {"CMD_INSERT": Operation.INSERT, "CMD_UPDATE": Operation.UPDATE, "CMD_DELETE": Operation.DELETE}


def _insert(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    scope = walk.with_names(node, scope)
    walk.relation(Operation.INSERT, node.relation)
    conflict = node.on_conflict_clause if node.HasField("on_conflict_clause") else None
    if conflict is not None and enum(conflict, "action") != "ONCONFLICT_NOTHING":
        _assign(walk, conflict.target_list)
        walk.relation(Operation.UPDATE, node.relation)
        walk.relation(Operation.READ, node.relation)
    elif node.HasField("returning_clause") or (conflict is not None and conflict.HasField("infer")):
        # A named conflict target tells by the count whether a value is there; the server asks for SELECT on it.
        walk.relation(Operation.READ, node.relation)
    before = walk.progress
    walk.descend(node, scope, ("with_clause", "relation"))
    _flow(walk, node, before)


def _flow(walk: "Walk", node: Message, before: int) -> None:
    """Only where there are columns, or calls of what may read some, can a value come from anywhere."""
    if walk.progress > before:
        walk.flow(*written(node, walk.withs))


def _update(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    if node.relation.relname == "pg_settings" and node.relation.schemaname in ("", "pg_catalog"):
        # A rule of it calls set_config: any setting may get any value.
        walk.unknown("set_config()")
    _assign(walk, node.target_list)
    _change(walk, Operation.UPDATE, node, scope, node.from_clause)


def _assign(walk: "Walk", targets: Iterable[Message]) -> None:
    walk.assigned.update(dict.fromkeys(target.name for target in map(unwrap, targets) if target is not None))


def _delete(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    _change(walk, Operation.DELETE, node, scope, node.using_clause)


def _change(
    walk: "Walk", operation: Operation, node: Message, scope: frozenset[str], beside: Iterable[Message]
) -> None:
    scope = walk.with_names(node, scope)
    walk.relation(operation, node.relation)
    walk.has_where &= node.HasField("where_clause") and limits(node.where_clause, _row(walk, node.relation, beside))
    before, progress = walk.column_references, walk.progress
    walk.descend(node, scope, ("with_clause", "relation"))
    if operation is Operation.UPDATE:
        _flow(walk, node, progress)
    if walk.column_references > before:
        # A value or a condition that uses a column tells something of it.
        walk.relation(Operation.READ, node.relation)


def _row(walk: "Walk", relation: Message, beside: Iterable[Message]) -> Row:
    others = [item for item in map(unwrap, beside) if item is not None]
    twins = frozenset(
        item.alias.aliasname or item.relname
        for item in others
        if item.DESCRIPTOR.name == "RangeVar" and item.relname == relation.relname
    )
    name = relation.alias.aliasname or relation.relname
    return Row(relation.relname, name, alone=not others, twins=twins, variables=walk.variables)


def _merge(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    scope = walk.with_names(node, scope)
    walk.relation(Operation.READ, node.relation)
    row = _row(walk, node.relation, [node.source_relation])
    joined = limits(node.join_condition, row)
    for clause in map(unwrap, node.merge_when_clauses):
        if clause is None:
            continue
        operation = _MERGES.get(enum(clause, "command_type"))
        if operation is not None:
            walk.relation(operation, node.relation)
        if operation is Operation.UPDATE:
            _assign(walk, clause.target_list)
        if operation in (Operation.UPDATE, Operation.DELETE):
            alone = Row(row.relation, row.name, variables=walk.variables)
            by_source = enum(clause, "match_kind") == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE"
            chosen = clause.HasField("condition") and limits(clause.condition, alone if by_source else row)
            walk.has_where &= chosen or (joined and not by_source)
    before = walk.progress
    walk.descend(node, scope, ("with_clause", "relation"))
    _flow(walk, node, before)


def _truncate(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.has_where = False
    for item in map(unwrap, node.relations):
        if item is not None:
            walk.relation(Operation.DELETE, item)
            if enum(node, "behavior") == "DROP_CASCADE":
                walk.touch(Touch(Operation.DELETE, Name(item.schemaname or None, item.relname), "cascade"))


def _copy(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    # An empty file name is told by nothing from none at all.
    walk.sensitive = True
    if node.HasField("relation"):
        walk.relation(Operation.INSERT if node.is_from else Operation.READ, node.relation)
    if not node.is_from and (node.is_program or node.filename):
        walk.flow(Outside("program" if node.is_program else "file"))
    if node.is_program:
        walk.other(Operation.EXECUTE, "server", "program")
        walk.other(Operation.ADMIN, "server", "program")
    elif node.filename:
        walk.other(Operation.ADMIN, "server", "file")
    walk.descend(node, scope, ("relation", "options", "attlist"))


def _lock(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    # ACCESS SHARE is what reading takes; every other mode stands in the way of others.
    operation = Operation.READ if node.mode == 1 else Operation.UPDATE
    for item in map(unwrap, node.relations):
        if item is not None:
            walk.relation(operation, item, kind="locked")


HANDLERS: Final[dict[str, Handler]] = {
    "InsertStmt": _insert,
    "UpdateStmt": _update,
    "DeleteStmt": _delete,
    "MergeStmt": _merge,
    "TruncateStmt": _truncate,
    "LockStmt": _lock,
    "CopyStmt": _copy,
}
