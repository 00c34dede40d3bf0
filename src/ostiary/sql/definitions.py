"""DDL, privileges and the server's own objects: what each statement is judged on.

A relation a statement names gets the statement's operation; what its expressions and queries read or call is judged
as in any query. Other objects are named by a path: `role/bob`, `type/public.mood`, `extension/dblink`.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import Message

from ostiary.core import Operation, naming
from ostiary.sql.builtins import BUILTINS, COMPUTES
from ostiary.sql.flows import Renamed, converted
from ostiary.sql.model import Name, Touch
from ostiary.sql.nodes import CREATES, DEFINITIONS, children, enum, label, string_of, strings_of, tag_of, unwrap

if TYPE_CHECKING:
    from ostiary.sql.walk import Walk

_RELATIONS: Final = frozenset({"table", "view", "matview", "sequence", "foreign-table"})
#: Named by their relation and a last part of their own.
_OF_A_RELATION: Final = frozenset({"column", "tabconstraint", "trigger", "rule", "policy"})
_FUNCTIONS: Final = frozenset({"function", "procedure", "aggregate", "routine"})


def names_of(node: Message | None) -> list[str]:
    """Parts of the name that an object's node carries, whatever node that is."""
    if node is None:
        return []
    match node.DESCRIPTOR.name:
        case "String":
            return [string_of(node)]
        case "List":
            return [part for item in node.items for part in names_of(unwrap(item))]
        case "TypeName":
            return strings_of(node.names)
        case "ObjectWithArgs":
            return strings_of(node.objname)
        case "RangeVar":
            return [part for part in (node.schemaname, node.relname) if part]
        case "RoleSpec":
            return [node.rolename or enum(node, "roletype").removeprefix("ROLESPEC_").lower()]
        case "AccessPriv":
            return [node.priv_name]
        case _:
            return []


def _object(walk: "Walk", operation: Operation, kind: str, node: Message | None) -> None:
    """An operation on an object of a kind (a label of ObjectType)."""
    parts = names_of(node)
    if kind in _OF_A_RELATION:
        parts, kind = parts[:-1], "table"
    if kind == "schema" and parts:
        walk.touch(Touch(operation, Name(None, parts[-1]), "schema"))
    elif not parts:
        walk.other(operation, kind, "?")
    elif kind in _RELATIONS:
        walk.touch(Touch(operation, Name.of(parts), "relation"))
    elif kind in _FUNCTIONS:
        walk.touch(Touch(operation, Name.of(parts), "function"))
    else:
        walk.other(operation, kind, naming.join(*parts))


def _definition(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """By the table in `nodes`: one field names the object, every relation beside it gets the same operation."""
    kind = node.DESCRIPTOR.name
    operation, path, field = DEFINITIONS[kind]
    if path:
        value: Any = getattr(node, field) if field else tag_of(node).lower()
        _named(walk, operation, path, value)
    for child in children(node, ("setstmt",)):
        if child.DESCRIPTOR.name != "RangeVar":
            walk.visit(child, scope)
        elif kind != "CompositeTypeStmt":
            walk.relation(operation, child, new=kind in CREATES and child == getattr(node, field))


def _role(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """Roles, and the roles they become members of."""
    _definition(walk, node, scope)
    for option in map(unwrap, getattr(node, "options", ())):
        if option is not None and option.defname == "addroleto":
            for name in names_of(unwrap(option.arg)):
                walk.other(Operation.GRANT, "role", name)
    if node.DESCRIPTOR.name == "ReassignOwnedStmt":
        walk.other(Operation.GRANT, "role", *names_of(node.newrole))


def _schema(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    name = node.schemaname or "".join(names_of(node.authrole))
    walk.touch(Touch(Operation.DEFINE, Name(None, name), "schema"))
    walk.descend(node, scope, ("authrole",))


def _cast(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """Later casts call the function unseen, so making one is executing it."""
    _definition(walk, node, scope)
    if node.HasField("func"):
        walk.touch(Touch(Operation.EXECUTE, Name.of(strings_of(node.func.objname)), "function"))


def _named(walk: "Walk", operation: Operation, path: str, value: Any) -> None:
    if isinstance(value, str):
        walk.other(operation, path, value)
    elif isinstance(value, Message):
        walk.other(operation, path, naming.join(*names_of(unwrap(value))))
    elif path == "role":
        for item in value:
            walk.other(operation, path, naming.join(*names_of(unwrap(item))))
    else:
        walk.other(operation, path, naming.join(*strings_of(value)))


def _alter_table(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    kind = label(node, "objtype")
    if kind in ("index", "type"):
        walk.other(Operation.DEFINE, kind, naming.join(*names_of(node.relation)))
    else:
        walk.relation(Operation.DEFINE, node.relation)
    for command in map(unwrap, node.cmds):
        if command is not None:
            _carry(walk, node.relation, command)
    walk.descend(node, scope, ("relation",))


def _carry(walk: "Walk", relation: Message, command: Message) -> None:
    """Values that are put in another column's type, and a table that leaves the family its classes came from."""
    subtype = enum(command, "subtype")
    definition = unwrap(getattr(command, "def"))
    if definition is None:
        return
    if subtype == "AT_AlterColumnType" and definition.HasField("raw_default"):
        walk.flow(converted(relation, command.name, definition.raw_default))
    elif subtype in ("AT_DetachPartition", "AT_DropInherit"):
        left, stays = names_of(definition.name if subtype == "AT_DetachPartition" else definition), names_of(relation)
        parent, child = (stays, left) if subtype == "AT_DetachPartition" else (left, stays)
        walk.flow(Renamed(_path(parent), _path(child)))


def _path(parts: list[str]) -> tuple[str | None, ...]:
    """Schema and name of a relation."""
    name = Name.of(parts)
    return (name.schema, name.name)


def _alter_table_cmd(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    if enum(node, "subtype") == "AT_ChangeOwner":
        walk.other(Operation.GRANT, "role", names_of(node.newowner)[0])
    for child in children(node):
        if child.DESCRIPTOR.name == "RangeVar":
            walk.relation(Operation.DEFINE, child)
        else:
            walk.visit(child, scope)


def _refresh(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    _definition(walk, node, scope)
    walk.touch(Touch(Operation.READ, Name(node.relation.schemaname or None, node.relation.relname), "query"))


def _constraint(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """A foreign key puts triggers on the table it refers to, and tells what is in it."""
    if node.HasField("pktable"):
        walk.relation(Operation.DEFINE, node.pktable)
        walk.relation(Operation.READ, node.pktable)
    for parts in _option(node, "sequence_name"):
        walk.touch(Touch(Operation.DEFINE, Name.of(parts), "relation", "made"))
    walk.descend(node, scope, ("pktable",))


def _sequence(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """OWNED BY ties it to a column: dropping or taking over the table does it to the sequence."""
    _definition(walk, node, scope)
    for parts in _option(node, "owned_by"):
        if len(parts) > 1:
            walk.touch(Touch(Operation.DEFINE, Name.of(parts[:-1]), "relation"))


def _option(node: Message, name: str) -> list[list[str]]:
    """Names that an option of this name carries."""
    options = [option for option in map(unwrap, node.options) if option is not None and option.defname == name]
    return [parts for option in options if (parts := names_of(unwrap(option.arg)))]


def _member(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """ALTER EXTENSION ADD and DROP: the object goes with the extension from then on, or no longer."""
    _definition(walk, node, scope)
    _object(walk, Operation.DEFINE, label(node, "objtype"), unwrap(node.object))


def _partition(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    walk.relation(Operation.DEFINE, node.name)
    walk.descend(node, scope, ("name",))


def _drop(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    kind = label(node, "remove_type")
    operation = Operation.ADMIN if kind in _ADMIN else Operation.DEFINE
    for item in node.objects:
        if kind == "schema":
            walk.touch(Touch(operation, Name(None, string_of(item)), "contents"))
        else:
            _object(walk, operation, kind, unwrap(item))


_ADMIN: Final = frozenset(
    {"extension", "fdw", "foreign-server", "publication", "event-trigger", "language", "access-method", "subscription"}
)


def _about(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """COMMENT ON and SECURITY LABEL ON."""
    del scope
    _object(walk, Operation.DEFINE, label(node, "objtype"), unwrap(node.object))


def _moved(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """RENAME and SET SCHEMA: the object, and the name it will have, since rules and classes go by names."""
    del scope
    renames = node.DESCRIPTOR.name == "RenameStmt"
    kind = label(node, "rename_type" if renames else "object_type")
    if kind == "role":
        walk.other(Operation.GRANT, "role", node.subname)
        walk.other(Operation.GRANT, "role", node.newname)
        return
    if node.HasField("relation"):
        if kind in ("index", "attribute"):
            walk.other(Operation.DEFINE, kind, naming.join(*names_of(node.relation)))
            return
        walk.relation(Operation.DEFINE, node.relation)
        old = _path(names_of(node.relation))
        if kind == "column" and renames:
            walk.flow(Renamed((*old, node.subname), (*old, node.newname)))
        if kind in _RELATIONS:
            walk.flow(Renamed(old, (old[0] if renames else node.newschema, node.newname if renames else old[1])))
            schema = node.relation.schemaname or None if renames else node.newschema
            name = Name(schema, node.newname if renames else node.relation.relname)
            walk.touch(Touch(Operation.DEFINE, name, "relation", "renamed"))
        return
    if kind == "schema":
        walk.flow(Renamed((node.subname,), (node.newname,)))
        walk.touch(Touch(Operation.DEFINE, Name(None, node.subname), "contents"))
        walk.touch(Touch(Operation.DEFINE, Name(None, node.newname), "schema"))
        return
    operation = Operation.ADMIN if kind in _ADMIN else Operation.DEFINE
    inner = unwrap(node.object)
    if inner is None:
        walk.other(operation, kind, node.subname)
        return
    _object(walk, operation, kind, inner)
    if kind in _FUNCTIONS:
        name = Name.of(names_of(inner))
        name = Name(name.schema, node.newname) if renames else Name(node.newschema, name.name)
        walk.touch(Touch(operation, name, "function", "renamed"))


def _owner(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    named = node.relation if node.HasField("relation") else unwrap(node.object)
    _object(walk, Operation.GRANT, label(node, "object_type"), named)
    walk.other(Operation.GRANT, "role", names_of(node.newowner)[0])


def _depends(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    kind = label(node, "object_type")
    if node.HasField("relation"):
        walk.relation(Operation.DEFINE, node.relation)
    else:
        _object(walk, Operation.DEFINE, kind, unwrap(node.object))


def _grant(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    for item in node.objects:
        if enum(node, "targtype") == "ACL_TARGET_ALL_IN_SCHEMA":
            walk.touch(Touch(Operation.GRANT, Name(None, string_of(item)), "contents"))
        else:
            _object(walk, Operation.GRANT, label(node, "objtype"), unwrap(item))


def _grant_role(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    for item in node.granted_roles:
        _object(walk, Operation.GRANT, "role", unwrap(item))


def _default_privileges(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    schemas = [
        part
        for option in map(unwrap, node.options)
        if option is not None and option.defname == "schemas"
        for part in names_of(unwrap(option.arg))
    ]
    for schema in schemas:
        walk.touch(Touch(Operation.GRANT, Name(None, schema), "schema"))
    if not schemas:
        walk.other(Operation.GRANT, "database", "*")


def _trigger(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """Later changes of the table call the function in the caller's name, so making a trigger is executing it."""
    walk.relation(Operation.DEFINE, node.relation)
    walk.touch(Touch(Operation.EXECUTE, Name.of(strings_of(node.funcname)), "function"))
    walk.descend(node, scope, ("relation", "funcname", "args", "columns"))


def _function(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """CREATE FUNCTION. Its body runs when it is called; then the caller needs `execute` on it."""
    walk.touch(Touch(Operation.DEFINE, Name.of(strings_of(node.funcname)), "function", "made"))
    walk.descend(node, scope, ("funcname", "sql_body", "options"))


def _alter_function(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    _object(walk, Operation.DEFINE, "function", node.func)


def _define(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """CREATE AGGREGATE, OPERATOR, TYPE, COLLATION, TEXT SEARCH and so on.

    What is made of functions calls them unseen later, so making it is executing those that are no built-ins.
    """
    del scope
    parts = strings_of(node.defnames)
    kind = label(node, "kind")
    if kind in _FUNCTIONS:
        walk.touch(Touch(Operation.DEFINE, Name.of(parts), "function", "made"))
    else:
        walk.other(Operation.DEFINE, kind, naming.join(*parts))
    for option in map(unwrap, node.definition):
        if option is not None and option.defname.endswith(_CALLED) and (names := names_of(unwrap(option.arg))):
            called = Name.of(names)
            if called.schema not in (None, "pg_catalog") or BUILTINS.get(called.name) not in COMPUTES:
                walk.touch(Touch(Operation.EXECUTE, called, "function"))


#: Options of CREATE AGGREGATE, OPERATOR and TYPE that name functions: `sfunc`, `mfinalfunc`, `procedure`, `send` …
_CALLED: Final = ("func", "function", "procedure", "restrict", "join", "input", "output", "receive", "send", "analyze")


def _alter_system(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.other(Operation.ADMIN, "setting", node.setstmt.name or "*")


def _relations(nodes: Iterable[Message]) -> list[Message]:
    return [node for node in map(unwrap, nodes) if node is not None]


def _maintenance(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    """VACUUM, ANALYZE, CLUSTER, REINDEX."""
    del scope
    relations = [item.relation for item in _relations(getattr(node, "rels", ()))]
    if "relation" in node.DESCRIPTOR.fields_by_name and node.HasField("relation"):
        relations.append(node.relation)
    for relation in relations:
        walk.relation(Operation.ADMIN, relation)
    if not relations:
        walk.other(Operation.ADMIN, "server", "maintenance")


Handler = Callable[["Walk", Any, frozenset[str]], None]

HANDLERS: Final[dict[str, Handler]] = {
    **dict.fromkeys(DEFINITIONS, _definition),
    **dict.fromkeys(("CreateRoleStmt", "AlterRoleStmt", "ReassignOwnedStmt"), _role),
    "CreateSchemaStmt": _schema,
    "CreateCastStmt": _cast,
    **dict.fromkeys(("CreateSeqStmt", "AlterSeqStmt"), _sequence),
    "AlterExtensionContentsStmt": _member,
    "AlterTableStmt": _alter_table,
    "AlterTableCmd": _alter_table_cmd,
    "RefreshMatViewStmt": _refresh,
    "Constraint": _constraint,
    "PartitionCmd": _partition,
    "DropStmt": _drop,
    "CommentStmt": _about,
    "SecLabelStmt": _about,
    "RenameStmt": _moved,
    "AlterObjectSchemaStmt": _moved,
    "AlterOwnerStmt": _owner,
    "AlterObjectDependsStmt": _depends,
    "GrantStmt": _grant,
    "GrantRoleStmt": _grant_role,
    "AlterDefaultPrivilegesStmt": _default_privileges,
    "CreateTrigStmt": _trigger,
    "CreateFunctionStmt": _function,
    "AlterFunctionStmt": _alter_function,
    "DefineStmt": _define,
    "AlterSystemStmt": _alter_system,
    "VacuumStmt": _maintenance,
    "ClusterStmt": _maintenance,
    "ReindexStmt": _maintenance,
}
