"""The grammar's nodes in tables. A node that is in no table and has no handler makes its statement UNKNOWN."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import postgast
from google.protobuf.message import Message

from ostiary.core import Operation

_NODE: Final[type[Message]] = postgast.pg_query_pb2.Node

#: Nodes that only combine their children.
PLAIN: Final = frozenset(
    """
    A_ArrayExpr A_Const A_Indices A_Star AccessPriv Alias ATAlterConstraint BitString BoolExpr Boolean
    BooleanTest CTECycleClause CTESearchClause CaseExpr CaseWhen CoalesceExpr CollateClause ColumnDef CommonTableExpr
    CreateOpClassItem CurrentOfExpr DefElem Float FunctionParameter GroupingFunc GroupingSet IndexElem
    InferClause Integer IntoClause JoinExpr JsonAggConstructor JsonArgument JsonArrayAgg JsonArrayConstructor
    JsonArrayQueryConstructor JsonBehavior JsonFormat JsonFuncExpr JsonIsPredicate JsonKeyValue JsonObjectAgg
    JsonObjectConstructor JsonOutput JsonParseExpr JsonReturning JsonScalarExpr JsonSerializeExpr JsonTable
    JsonTableColumn JsonTablePathSpec JsonValueExpr List LockingClause MergeSupportFunc MergeWhenClause MinMaxExpr
    MultiAssignRef NamedArgExpr NullTest ObjectWithArgs OnConflictClause ParamRef PartitionBoundSpec PartitionElem
    PartitionRangeDatum PartitionSpec PublicationObjSpec PublicationTable RangeFunction RangeSubselect RangeTableFunc
    RangeTableFuncCol ReplicaIdentityStmt ResTarget ReturningClause ReturningOption RoleSpec RowExpr SQLValueFunction
    SetToDefault SortBy StatsElem String SubLink TableLikeClause TriggerTransition TypeCast VacuumRelation
    WindowDef WithClause XmlExpr XmlSerialize
    """.split()  # noqa: SIM905 - ninety names read better as text
)

#: Definitions: the operation, how the object's path starts ("" for relations), and the field that names it.
DEFINITIONS: Final[dict[str, tuple[Operation, str, str]]] = {
    "CreateStmt": (Operation.DEFINE, "", "relation"),
    "ViewStmt": (Operation.DEFINE, "", "view"),
    "CreateSeqStmt": (Operation.DEFINE, "", "sequence"),
    "AlterSeqStmt": (Operation.DEFINE, "", "sequence"),
    "IndexStmt": (Operation.DEFINE, "", "relation"),
    "RuleStmt": (Operation.DEFINE, "", "relation"),
    "CreatePolicyStmt": (Operation.DEFINE, "", "table"),
    "AlterPolicyStmt": (Operation.DEFINE, "", "table"),
    "RefreshMatViewStmt": (Operation.DEFINE, "", "relation"),
    "CreateStatsStmt": (Operation.DEFINE, "statistics", "defnames"),
    "AlterStatsStmt": (Operation.DEFINE, "statistics", "defnames"),
    "CreateEnumStmt": (Operation.DEFINE, "type", "type_name"),
    "AlterEnumStmt": (Operation.DEFINE, "type", "type_name"),
    "CreateRangeStmt": (Operation.DEFINE, "type", "type_name"),
    "CreateDomainStmt": (Operation.DEFINE, "type", "domainname"),
    "AlterDomainStmt": (Operation.DEFINE, "type", "type_name"),
    "AlterTypeStmt": (Operation.DEFINE, "type", "type_name"),
    "CompositeTypeStmt": (Operation.DEFINE, "type", "typevar"),
    "CreateCastStmt": (Operation.DEFINE, "cast", "sourcetype"),
    "CreateTransformStmt": (Operation.DEFINE, "transform", "type_name"),
    "CreateConversionStmt": (Operation.DEFINE, "conversion", "conversion_name"),
    "CreateOpClassStmt": (Operation.DEFINE, "operator-class", "opclassname"),
    "CreateOpFamilyStmt": (Operation.DEFINE, "operator-family", "opfamilyname"),
    "AlterOpFamilyStmt": (Operation.DEFINE, "operator-family", "opfamilyname"),
    "AlterOperatorStmt": (Operation.DEFINE, "operator", "opername"),
    "AlterCollationStmt": (Operation.DEFINE, "collation", "collname"),
    "AlterTSConfigurationStmt": (Operation.DEFINE, "text-search", "cfgname"),
    "AlterTSDictionaryStmt": (Operation.DEFINE, "text-search", "dictname"),
    "CreateRoleStmt": (Operation.GRANT, "role", "role"),
    "AlterRoleStmt": (Operation.GRANT, "role", "role"),
    "AlterRoleSetStmt": (Operation.GRANT, "role", "role"),
    "DropRoleStmt": (Operation.GRANT, "role", "roles"),
    "DropOwnedStmt": (Operation.GRANT, "role", "roles"),
    "ReassignOwnedStmt": (Operation.GRANT, "role", "roles"),
    "CreateForeignTableStmt": (Operation.ADMIN, "foreign-server", "servername"),
    "CreatePLangStmt": (Operation.ADMIN, "language", "plname"),
    "CreateAmStmt": (Operation.ADMIN, "access-method", "amname"),
    "CreateTableSpaceStmt": (Operation.ADMIN, "tablespace", "tablespacename"),
    "DropTableSpaceStmt": (Operation.ADMIN, "tablespace", "tablespacename"),
    "AlterTableSpaceOptionsStmt": (Operation.ADMIN, "tablespace", "tablespacename"),
    "AlterTableMoveAllStmt": (Operation.ADMIN, "tablespace", "orig_tablespacename"),
    "CreatedbStmt": (Operation.ADMIN, "database", "dbname"),
    "DropdbStmt": (Operation.ADMIN, "database", "dbname"),
    "AlterDatabaseStmt": (Operation.ADMIN, "database", "dbname"),
    "AlterDatabaseSetStmt": (Operation.ADMIN, "database", "dbname"),
    "AlterDatabaseRefreshCollStmt": (Operation.ADMIN, "database", "dbname"),
    "CreateExtensionStmt": (Operation.ADMIN, "extension", "extname"),
    "AlterExtensionStmt": (Operation.ADMIN, "extension", "extname"),
    "AlterExtensionContentsStmt": (Operation.ADMIN, "extension", "extname"),
    "CreateFdwStmt": (Operation.ADMIN, "foreign-data-wrapper", "fdwname"),
    "AlterFdwStmt": (Operation.ADMIN, "foreign-data-wrapper", "fdwname"),
    "CreateForeignServerStmt": (Operation.ADMIN, "foreign-server", "servername"),
    "AlterForeignServerStmt": (Operation.ADMIN, "foreign-server", "servername"),
    "ImportForeignSchemaStmt": (Operation.ADMIN, "foreign-server", "server_name"),
    "CreateUserMappingStmt": (Operation.ADMIN, "foreign-server", "servername"),
    "AlterUserMappingStmt": (Operation.ADMIN, "foreign-server", "servername"),
    "DropUserMappingStmt": (Operation.ADMIN, "foreign-server", "servername"),
    "CreatePublicationStmt": (Operation.ADMIN, "publication", "pubname"),
    "AlterPublicationStmt": (Operation.ADMIN, "publication", "pubname"),
    "CreateSubscriptionStmt": (Operation.ADMIN, "subscription", "subname"),
    "AlterSubscriptionStmt": (Operation.ADMIN, "subscription", "subname"),
    "DropSubscriptionStmt": (Operation.ADMIN, "subscription", "subname"),
    "CreateEventTrigStmt": (Operation.ADMIN, "event-trigger", "trigname"),
    "AlterEventTrigStmt": (Operation.ADMIN, "event-trigger", "trigname"),
    "LoadStmt": (Operation.ADMIN, "server", ""),
    "CheckPointStmt": (Operation.ADMIN, "server", ""),
}
#: Definitions that make the relation in their field rather than change one.
CREATES: Final = frozenset({"CreateStmt", "ViewStmt", "CreateSeqStmt"})

#: Statements of the session, and the object they are judged on.
SESSION: Final = {
    "DiscardStmt": "state",
    "UnlistenStmt": "state",
    "ConstraintsSetStmt": "transaction",
    "ClosePortalStmt": "cursor",
    "DeallocateStmt": "prepared",
}

_TAGS: Final = {
    "CreateTableAsStmt": "CREATE TABLE AS",
    "ViewStmt": "CREATE VIEW",
    "IndexStmt": "CREATE INDEX",
    "CreateStmt": "CREATE TABLE",
    "VariableSetStmt": "SET",
    "VariableShowStmt": "SHOW",
    "CreatedbStmt": "CREATE DATABASE",
    "DropdbStmt": "DROP DATABASE",
    "RuleStmt": "CREATE RULE",
    "CreateTrigStmt": "CREATE TRIGGER",
    "CreateSeqStmt": "CREATE SEQUENCE",
    "AlterSeqStmt": "ALTER SEQUENCE",
    "DeclareCursorStmt": "DECLARE CURSOR",
    "ClosePortalStmt": "CLOSE",
    "ConstraintsSetStmt": "SET CONSTRAINTS",
    "SecLabelStmt": "SECURITY LABEL",
    "RefreshMatViewStmt": "REFRESH MATERIALIZED VIEW",
    "CheckPointStmt": "CHECKPOINT",
    "CompositeTypeStmt": "CREATE TYPE",
    "DefineStmt": "CREATE",
    "RenameStmt": "ALTER RENAME",
    "AlterObjectSchemaStmt": "ALTER SET SCHEMA",
    "AlterOwnerStmt": "ALTER OWNER",
}


def tag_of(node: Message) -> str:
    """The command as people say it: "DROP TABLE"."""
    kind = node.DESCRIPTOR.name
    if kind == "DropStmt":
        return f"DROP {label(node, 'remove_type').replace('-', ' ').upper()}"
    if kind == "TransactionStmt":
        return enum(node, "kind").removeprefix("TRANS_STMT_").replace("_", " ")
    known = _TAGS.get(kind)
    return known or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.removesuffix("Stmt")).upper()


def unwrap(node: Message) -> Message | None:
    """The message inside a `Node`; None for an empty one; other messages as they are."""
    if type(node) is not _NODE:
        return node
    chosen = node.WhichOneof("node")
    return None if chosen is None else getattr(node, chosen)


def kind_of(node: Message) -> str:
    """Name of the message inside a `Node`; "" for an empty one."""
    inner = unwrap(node)
    return "" if inner is None else str(inner.DESCRIPTOR.name)


def children(node: Message, skip: tuple[str, ...] = ()) -> Iterator[Message]:
    """Every message directly in this one, unwrapped."""
    for field, value in node.ListFields():
        if field.message_type is None or field.name in skip:
            continue
        for child in value if field.is_repeated else (value,):
            inner = unwrap(child)
            if inner is not None:
                yield inner


def string_of(node: Message) -> str:
    """Text of a String node; empty for another."""
    inner = unwrap(node)
    return str(getattr(inner, "sval", "")) if inner is not None and inner.DESCRIPTOR.name == "String" else ""


def strings_of(nodes: Iterable[Message]) -> list[str]:
    """Texts of a list of String nodes, such as a qualified name."""
    return [string_of(node) for node in nodes]


def constant(node: Message) -> str | None:
    """Value of a constant as text, through casts; None for anything else and for NULL."""
    inner = unwrap(node)
    if inner is not None and inner.DESCRIPTOR.name == "TypeCast":
        inner = unwrap(inner.arg)
    if inner is None or inner.DESCRIPTOR.name != "A_Const":
        return None
    match inner.WhichOneof("val"):
        case "sval":
            return str(inner.sval.sval)
        case "ival":
            return str(inner.ival.ival)
        case "fval":
            return str(inner.fval.fval)
        case "boolval":
            return "on" if inner.boolval.boolval else "off"
        case _:
            return None


def enum(node: Message, field: str) -> str:
    """Name of an enum field's value."""
    number = getattr(node, field)
    value = node.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(number)
    return "" if value is None else str(value.name)


def label(node: Message, field: str) -> str:
    """An ObjectType as the start of a path: OBJECT_FOREIGN_SERVER is "foreign-server"."""
    return enum(node, field).removeprefix("OBJECT_").replace("_", "-").lower()
