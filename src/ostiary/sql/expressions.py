"""Expressions: columns, operators and functions, of which those that are no built-ins count as executed."""

from typing import TYPE_CHECKING, Final

from google.protobuf.message import Message

from ostiary.core import Operation
from ostiary.sql.builtins import ANYWHERE, BUILTINS, CONSTRUCTORS_OF, Category
from ostiary.sql.definitions import Handler
from ostiary.sql.flows import Outside
from ostiary.sql.model import Name, Touch
from ostiary.sql.nodes import constant, enum, string_of, strings_of
from ostiary.sql.session import set_config

if TYPE_CHECKING:
    from ostiary.sql.walk import Walk

#: What changes a sequence; the others of the category read it.
_ADVANCE: Final = frozenset({"nextval", "setval"})


def _column_ref(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.column_references += 1
    if len(node.fields) > 1:
        walk.attributes.update(dict.fromkeys(filter(None, [string_of(node.fields[-1])])))


def _indirection(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    walk.attributes.update(dict.fromkeys(filter(None, strings_of(node.indirection))))
    walk.descend(node, scope)


def _operator(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    if enum(node, "kind") != "AEXPR_NULLIF" or node.name:
        _use(walk, strings_of(node.name))
    walk.descend(node, scope, ("name",))


def _sub_link(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    if node.oper_name:
        _use(walk, strings_of(node.oper_name))
    walk.descend(node, scope, ("oper_name",))


def _sort_by(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    if node.use_op:
        _use(walk, strings_of(node.use_op))
    walk.visit(node.node, scope)


def _use(walk: "Walk", names: list[str]) -> None:
    walk.computations += 1
    if len(names) > 1 and names[-2] != "pg_catalog":
        walk.touch(Touch(Operation.EXECUTE, Name(names[-2], names[-1]), "operator"))
    elif len(names) == 1:
        walk.operators[names[0]] = None


def _type(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    names = strings_of(node.names)
    walk.computations += 1
    if names:
        walk.types[Name.of(names)] = None
    walk.descend(node, scope, ("names",))


def _table_sample(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    names = strings_of(node.method)
    if names[-1] not in ("system", "bernoulli") or names[:-1] not in ([], ["pg_catalog"]):
        walk.touch(Touch(Operation.EXECUTE, Name.of(names), "function"))
    walk.descend(node, scope, ("method",))


def _function(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    names = strings_of(node.funcname)
    called = Name.of(names)
    walk.functions[called] = None
    walk.computations += 1
    category = BUILTINS.get(called.name)
    before = walk.column_references
    if called.schema not in (None, "pg_catalog") and category not in ANYWHERE:
        category = None
    match category:
        case None | Category.REVEALS | Category.MACHINERY:
            walk.touch(Touch(Operation.EXECUTE, called, "function"))
        case Category.COMPUTES | Category.COMPUTES_VOLATILE:
            pass
        case Category.SETTING:
            set_config(walk, node)
        case Category.LOCK:
            walk.other(Operation.SESSION, "session", "advisory-lock")
        case Category.SEQUENCE:
            _sequence(walk, node, Operation.UPDATE if called.name in _ADVANCE else Operation.READ)
        case Category.PUBLISH:
            walk.sensitive = True
            channel = constant(node.args[0]) if node.args else None
            walk.other(Operation.PUBLISH, "channel", channel or "?")
        case Category.DYNAMIC:
            walk.opaque(f"{called.name}()")
        case Category.ADMIN:
            walk.touch(Touch(Operation.ADMIN, Name(called.schema or "pg_catalog", called.name), "function"))
    walk.descend(node, scope, ("funcname",))
    if called.name in _KEEPING and category is not None and walk.column_references > before:
        walk.flow(Outside(f"{called.name}()"))


def _json(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """SQL/JSON: to a server whose grammar does not know it yet, `json_scalar(x)` calls a function of that name."""
    kind = node.DESCRIPTOR.name
    name = enum(node, "op").removesuffix("_OP").lower() if kind == "JsonFuncExpr" else CONSTRUCTORS_OF[kind]
    walk.functions[Name(None, name)] = None
    walk.descend(node, scope)


def _sequence(walk: "Walk", node: Message, operation: Operation) -> None:
    walk.sensitive = True
    text = constant(node.args[0]) if node.args else None
    parts = (text or "").split(".")
    if 1 <= len(parts) <= 2 and all(part.replace("_", "a").isalnum() and part == part.lower() for part in parts):
        walk.touch(Touch(operation, Name.of(parts), "relation"))
    else:
        walk.touch(Touch(operation, Name(None, "?"), "relation"))


#: Functions that put their arguments where others find them.
_KEEPING: Final = frozenset(
    (
        *("set_config", "setval", "pg_notify", "lo_from_bytea", "lo_put", "lowrite", "lo_create", "pg_file_write"),
        *("pg_logical_emit_message", "pg_create_restore_point", "pg_replication_origin_create"),
        *("pg_create_logical_replication_slot", "pg_create_physical_replication_slot"),
    )
)

HANDLERS: Final[dict[str, Handler]] = {
    "ColumnRef": _column_ref,
    "A_Indirection": _indirection,
    "A_Expr": _operator,
    "SubLink": _sub_link,
    "SortBy": _sort_by,
    "RangeTableSample": _table_sample,
    "FuncCall": _function,
    "TypeName": _type,
    **dict.fromkeys(CONSTRUCTORS_OF, _json),
}
