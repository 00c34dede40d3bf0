"""The grammar's nodes in tables: which are plain expressions, which define, which belong to the session."""

from collections.abc import Iterable

from google.protobuf.message import Message

from ostiary.core import Operation

#: Nodes that only combine their children.
EXPRESSIONS = frozenset(
    [
        "A_ArrayExpr",
        "A_Const",
        "A_Indices",
        "A_Indirection",
        "A_Star",
        "Alias",
        "BoolExpr",
        "BooleanTest",
        "CaseExpr",
        "CaseWhen",
        "CoalesceExpr",
        "CollateClause",
        "ColumnRef",
        "CommonTableExpr",
        "CTECycleClause",
        "CTESearchClause",
        "CurrentOfExpr",
        "DefElem",
        "GroupingFunc",
        "GroupingSet",
        "InferClause",
        "IntoClause",
        "JoinExpr",
        "List",
        "LockingClause",
        "MergeWhenClause",
        "MinMaxExpr",
        "MultiAssignRef",
        "NamedArgExpr",
        "NullTest",
        "OnConflictClause",
        "ParamRef",
        "RangeFunction",
        "RangeSubselect",
        "RangeTableFunc",
        "RangeTableFuncCol",
        "RangeTableSample",
        "ResTarget",
        "ReturningClause",
        "ReturningOption",
        "RowExpr",
        "SetToDefault",
        "SortBy",
        "SQLValueFunction",
        "String",
        "SubLink",
        "TypeCast",
        "TypeName",
        "WindowDef",
        "WithClause",
        "XmlExpr",
        "XmlSerialize",
        "Integer",
        "Float",
        "Boolean",
        "BitString",
        "IndexElem",
        "JsonFormat",
        "JsonReturning",
        "JsonValueExpr",
        "JsonOutput",
        "JsonKeyValue",
        "JsonObjectConstructor",
        "JsonArrayConstructor",
        "JsonArrayQueryConstructor",
        "JsonAggConstructor",
        "JsonObjectAgg",
        "JsonArrayAgg",
        "JsonFuncExpr",
        "JsonIsPredicate",
        "JsonArgument",
        "JsonBehavior",
        "JsonParseExpr",
        "JsonScalarExpr",
        "JsonSerializeExpr",
        "JsonTable",
        "JsonTableColumn",
        "JsonTablePathSpec",
        "ColumnDef",
        "Constraint",
        "TableLikeClause",
        "PartitionSpec",
        "PartitionElem",
        "PartitionBoundSpec",
        "AlterTableCmd",
        "ObjectWithArgs",
        "AccessPriv",
        "RoleSpec",
        "FunctionParameter",
        "PartitionCmd",
    ]
)

#: Statements that change definitions, privileges or the server, by operation.
DEFINITIONS: dict[str, Operation] = (
    dict.fromkeys(
        [
            "CreateStmt",
            "ViewStmt",
            "IndexStmt",
            "AlterTableStmt",
            "RenameStmt",
            "CreateSeqStmt",
            "AlterSeqStmt",
            "CreateSchemaStmt",
            "CommentStmt",
            "RuleStmt",
            "CreateTrigStmt",
            "CreatePolicyStmt",
            "AlterPolicyStmt",
            "CreateFunctionStmt",
            "AlterFunctionStmt",
            "CreateEnumStmt",
            "AlterEnumStmt",
            "CreateDomainStmt",
            "AlterDomainStmt",
            "CompositeTypeStmt",
            "CreateRangeStmt",
            "DefineStmt",
            "CreateCastStmt",
            "CreateOpClassStmt",
            "CreateOpFamilyStmt",
            "AlterOpFamilyStmt",
            "CreateStatsStmt",
            "AlterStatsStmt",
            "RefreshMatViewStmt",
            "AlterObjectSchemaStmt",
            "AlterObjectDependsStmt",
            "AlterTypeStmt",
            "CreateTransformStmt",
            "CreateConversionStmt",
            "AlterCollationStmt",
            "CreatePLangStmt",
            "CreateAmStmt",
            "AlterTSConfigurationStmt",
            "AlterTSDictionaryStmt",
            "AlterOperatorStmt",
            "SecLabelStmt",
            "CreateTableSpaceStmt",
        ],
        Operation.DEFINE,
    )
    | dict.fromkeys(
        [
            "GrantStmt",
            "GrantRoleStmt",
            "AlterDefaultPrivilegesStmt",
            "CreateRoleStmt",
            "AlterRoleStmt",
            "AlterRoleSetStmt",
            "DropRoleStmt",
            "AlterOwnerStmt",
            "DropOwnedStmt",
            "ReassignOwnedStmt",
        ],
        Operation.GRANT,
    )
    | dict.fromkeys(
        [
            "VacuumStmt",
            "ClusterStmt",
            "ReindexStmt",
            "CheckPointStmt",
            "LoadStmt",
            "AlterSystemStmt",
            "CreatedbStmt",
            "DropdbStmt",
            "AlterDatabaseStmt",
            "AlterDatabaseSetStmt",
            "AlterDatabaseRefreshCollStmt",
            "CreateExtensionStmt",
            "AlterExtensionStmt",
            "AlterExtensionContentsStmt",
            "CreateFdwStmt",
            "AlterFdwStmt",
            "CreateForeignServerStmt",
            "AlterForeignServerStmt",
            "CreateForeignTableStmt",
            "ImportForeignSchemaStmt",
            "CreateUserMappingStmt",
            "AlterUserMappingStmt",
            "DropUserMappingStmt",
            "CreatePublicationStmt",
            "AlterPublicationStmt",
            "CreateSubscriptionStmt",
            "AlterSubscriptionStmt",
            "DropSubscriptionStmt",
            "CreateEventTrigStmt",
            "AlterEventTrigStmt",
            "DropTableSpaceStmt",
            "AlterTableSpaceOptionsStmt",
            "AlterTableMoveAllStmt",
            "LockStmt",
        ],
        Operation.ADMIN,
    )
)

#: Statements about the session itself.
OF_THE_SESSION = frozenset(
    [
        "VariableSetStmt",
        "VariableShowStmt",
        "TransactionStmt",
        "DiscardStmt",
        "ListenStmt",
        "UnlistenStmt",
        "ConstraintsSetStmt",
        "ClosePortalStmt",
    ]
)

TAGS = {
    "SelectStmt": "SELECT",
    "InsertStmt": "INSERT",
    "UpdateStmt": "UPDATE",
    "DeleteStmt": "DELETE",
    "MergeStmt": "MERGE",
    "TruncateStmt": "TRUNCATE",
    "DropStmt": "DROP",
    "CreateStmt": "CREATE TABLE",
    "CreateTableAsStmt": "CREATE TABLE AS",
    "AlterTableStmt": "ALTER TABLE",
    "ViewStmt": "CREATE VIEW",
    "IndexStmt": "CREATE INDEX",
    "VariableSetStmt": "SET",
    "VariableShowStmt": "SHOW",
    "TransactionStmt": "TRANSACTION",
    "CreateFunctionStmt": "CREATE FUNCTION",
}


def unwrap(node: Message) -> Message | None:
    """The message inside a `Node`; None for an empty one; other messages as they are."""
    if node.DESCRIPTOR.name != "Node":
        return node
    chosen = node.WhichOneof("node")
    if chosen is None:
        return None
    inner = getattr(node, chosen)
    assert isinstance(inner, Message)
    return inner


def string_of(node: Message) -> str:
    """Text of a String node; empty for another."""
    inner = unwrap(node)
    return str(getattr(inner, "sval", "")) if inner is not None else ""


def strings_of(nodes: Iterable[Message]) -> list[str]:
    """Texts of a list of String nodes, such as a qualified name."""
    return [string_of(node) for node in nodes]
