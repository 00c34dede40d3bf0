"""One statement's tree, walked node by node: what it touches, and what it leaves behind in the session.

Each kind of node has a handler here, or is in a table of `nodes`, or makes the statement UNKNOWN: a node of a later
grammar can't pass as a read. `definitions` has the handlers of DDL.
"""

from collections.abc import Iterable
from typing import Final

from google.protobuf.message import Message

from ostiary.core import Operation, naming
from ostiary.sql import definitions, plpgsql
from ostiary.sql.builtins import ANYWHERE, BUILTINS, Category
from ostiary.sql.conditions import Row, limits
from ostiary.sql.copy_statement import copy_statement
from ostiary.sql.definitions import Handler
from ostiary.sql.model import (
    Deallocate,
    DeclareCursor,
    Execute,
    FetchCursor,
    Name,
    Prepare,
    SessionEffect,
    Setting,
    Statement,
    Touch,
    UnparsableError,
)
from ostiary.sql.nodes import (
    PLAIN,
    SESSION,
    children,
    constant,
    enum,
    kind_of,
    string_of,
    strings_of,
    tag_of,
    unwrap,
)
from ostiary.sql.returns import returns

MAX_DEPTH: Final = 250
#: Settings that change who runs.
ROLES: Final = frozenset({"role", "session_authorization"})
_CHANGES: Final = {
    Operation.INSERT: Operation.READ,
    Operation.UPDATE: Operation.READ,
    Operation.DELETE: Operation.READ,
}
_LEAVES: Final = frozenset({"A_Const", "ParamRef", "A_Star", "String", "Integer", "Alias", "SQLValueFunction"})


class Walk:
    """One statement. `variables`: names that are a DO block's."""

    def __init__(self, variables: frozenset[str] = frozenset(), blocks: int = 0) -> None:
        self.variables = variables
        #: DO blocks around it.
        self.blocks = blocks
        self._touches: dict[Touch, None] = {}
        self._functions: dict[Name, None] = {}
        self._attributes: dict[str, None] = {}
        self._operators: dict[str, None] = {}
        self._temporary: dict[str, None] = {}
        self._effects: list[SessionEffect] = []
        self._has_where = True
        self._dynamic = False
        self._ends_transaction = False
        #: EXPLAIN without ANALYZE: planned only, so nothing changes.
        self._planned = False
        #: Constants in the text decided something: its template is no key for it.
        self.sensitive = False
        self._depth = 0
        self._column_references = 0
        #: Location in the text and number of each parameter.
        self._parameters: list[tuple[int, int]] = []

    def statement(self, node: Message) -> Statement:
        """Walk a whole statement. Raises UnparsableError."""
        self.visit(node, frozenset())
        places = sorted(set(self._parameters))
        return Statement(
            tag_of(node),
            tuple(self._touches),
            tuple(self._functions),
            tuple(self._attributes),
            tuple(self._operators),
            tuple(self._temporary),
            tuple(self._effects),
            self._has_where,
            self._dynamic,
            self._ends_transaction,
            returns(node, {location: ordinal for ordinal, (location, _) in enumerate(places)}),
            tuple(number for _, number in places),
            copy_statement(node),
        )

    # ------------------------------------------------------------ touching

    def touch(self, touch: Touch) -> None:
        """One more operation on one more thing."""
        if self._planned:
            if touch.kind == "relation" and touch.new:
                return
            touch = Touch(_CHANGES.get(touch.operation, touch.operation), touch.name, touch.kind, touch.new)
        self._touches[touch] = None

    def relation(
        self, operation: Operation, node: Message, scope: frozenset[str] = frozenset(), *, new: bool = False
    ) -> None:
        """An operation on a RangeVar, unless its name is a CTE's."""
        name = Name(node.schemaname or None, node.relname)
        if new and (node.relpersistence == "t" or (name.schema or "").startswith("pg_temp")):
            self._temporary[name.name] = None
            name = Name("pg_temp", name.name)
        if name.schema is not None or name.name not in scope:
            self.touch(Touch(operation, name, "relation", "made" if new else ""))

    def other(self, operation: Operation, *path: str) -> None:
        """An operation on something that is no relation, function or operator, named by the parts of a path."""
        self.touch(Touch(operation, Name(None, naming.join(*path, separator="/")), "other"))

    def opaque(self, what: str) -> None:
        """This part runs SQL that comes as a value."""
        self._dynamic = True
        self.unknown(what)

    def unknown(self, what: str) -> None:
        """Nobody can say what this part does."""
        self.other(Operation.UNKNOWN, "unknown", what)

    def absorb(self, inner: Statement) -> None:
        """What a nested statement does, this one does."""
        for touch in inner.touches:
            self.touch(touch)
        self._functions.update(dict.fromkeys(inner.functions))
        self._attributes.update(dict.fromkeys(inner.attributes))
        self._operators.update(dict.fromkeys(inner.operators))
        self._temporary.update(dict.fromkeys(inner.temporary))
        self._effects += inner.effects
        self._has_where &= inner.has_where
        self._dynamic |= inner.dynamic
        self._ends_transaction |= inner.ends_transaction

    def ends_transaction(self) -> None:
        """It ends a transaction, or undoes a part of one."""
        self._ends_transaction = True

    # ------------------------------------------------------------ walking

    def visit(self, node: Message, scope: frozenset[str]) -> None:
        """Walk one node, a `Node` or what is in one."""
        inner = unwrap(node)
        if inner is None:
            return
        kind = inner.DESCRIPTOR.name
        if kind in _LEAVES:
            if kind == "ParamRef":
                self._parameters.append((inner.location, inner.number))
            return
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnparsableError("the statement is nested too deeply")
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, inner, scope)
        elif kind in PLAIN:
            self.descend(inner, scope)
        else:
            self.unknown(kind)
            self.descend(inner, scope)
        self._depth -= 1

    def descend(self, node: Message, scope: frozenset[str], skip: tuple[str, ...] = ()) -> None:
        """Walk everything directly in a node."""
        for child in children(node, skip):
            self.visit(child, scope)

    @staticmethod
    def nested(variables: frozenset[str], blocks: int) -> "Walk":
        """A walk for a statement inside this one."""
        return Walk(variables, blocks)

    def inner(self, node: Message) -> Statement:
        """A statement that is only kept for later."""
        walk = self.nested(self.variables, self.blocks)
        unwrapped = unwrap(node)
        assert unwrapped is not None
        statement = walk.statement(unwrapped)
        self.sensitive |= walk.sensitive
        return statement

    def _with(self, node: Message, scope: frozenset[str]) -> frozenset[str]:
        """Names of the WITH clause; each CTE sees those before it, all of them when RECURSIVE."""
        if not node.HasField("with_clause"):
            return scope
        ctes = [cte for cte in map(unwrap, node.with_clause.ctes) if cte is not None]
        if node.with_clause.recursive:
            scope |= {cte.ctename for cte in ctes}
        for cte in ctes:
            self.descend(cte, scope)
            scope |= {cte.ctename}
        return scope

    # ------------------------------------------------------------ queries

    def _on_range_var(self, node: Message, scope: frozenset[str]) -> None:
        self.relation(Operation.READ, node, scope)

    def _on_select(self, node: Message, scope: frozenset[str]) -> None:
        scope = self._with(node, scope)
        if node.HasField("into_clause"):
            self.relation(Operation.DEFINE, node.into_clause.rel, new=True)
        for clause in map(unwrap, node.locking_clause):
            if clause is not None:
                named = {item.relname for item in map(unwrap, clause.locked_rels) if item is not None}
                self._lock(node.from_clause, named, scope)
        self.descend(node, scope, ("with_clause", "into_clause", "locking_clause"))

    def _lock(self, sources: Iterable[Message], named: set[str], scope: frozenset[str]) -> None:
        """FOR UPDATE and its like lock rows, through joins and subqueries; the server asks for UPDATE too."""
        for source in map(unwrap, sources):
            if source is None:
                continue
            match source.DESCRIPTOR.name:
                case "RangeVar":
                    if not named or (source.alias.aliasname or source.relname) in named:
                        self.relation(Operation.UPDATE, source, scope)
                case "JoinExpr":
                    self._lock([source.larg, source.rarg], named, scope)
                case "RangeSubselect" if not named or source.alias.aliasname in named:
                    select = unwrap(source.subquery)
                    if select is not None:
                        self._lock(select.from_clause, set(), self._names(select, scope))
                case "RangeTableSample":
                    self._lock([source.relation], named, scope)
                case _:
                    pass

    @staticmethod
    def _names(select: Message, scope: frozenset[str]) -> frozenset[str]:
        return scope | {cte.ctename for cte in map(unwrap, select.with_clause.ctes) if cte is not None}

    def _on_insert(self, node: Message, scope: frozenset[str]) -> None:
        scope = self._with(node, scope)
        self.relation(Operation.INSERT, node.relation)
        if node.HasField("on_conflict_clause") and enum(node.on_conflict_clause, "action") != "ONCONFLICT_NOTHING":
            self.relation(Operation.UPDATE, node.relation)
            self.relation(Operation.READ, node.relation)
        if node.HasField("returning_clause"):
            self.relation(Operation.READ, node.relation)
        self.descend(node, scope, ("with_clause", "relation"))

    def _on_update(self, node: Message, scope: frozenset[str]) -> None:
        self._change(Operation.UPDATE, node, scope, node.from_clause)

    def _on_delete(self, node: Message, scope: frozenset[str]) -> None:
        self._change(Operation.DELETE, node, scope, node.using_clause)

    def _change(self, operation: Operation, node: Message, scope: frozenset[str], beside: Iterable[Message]) -> None:
        scope = self._with(node, scope)
        self.relation(operation, node.relation)
        self._has_where &= node.HasField("where_clause") and limits(node.where_clause, self._row(node.relation, beside))
        before = self._column_references
        self.descend(node, scope, ("with_clause", "relation"))
        if self._column_references > before:
            # A value or a condition that uses a column tells something of it.
            self.relation(Operation.READ, node.relation)

    def _row(self, relation: Message, beside: Iterable[Message]) -> Row:
        others = [item for item in map(unwrap, beside) if item is not None]
        twins = frozenset(
            item.alias.aliasname or item.relname
            for item in others
            if item.DESCRIPTOR.name == "RangeVar" and item.relname == relation.relname
        )
        name = relation.alias.aliasname or relation.relname
        return Row(relation.relname, name, alone=not others, twins=twins, variables=self.variables)

    def _on_merge(self, node: Message, scope: frozenset[str]) -> None:
        scope = self._with(node, scope)
        self.relation(Operation.READ, node.relation)
        row = self._row(node.relation, [node.source_relation])
        joined = limits(node.join_condition, row)
        for clause in map(unwrap, node.merge_when_clauses):
            if clause is None:
                continue
            operation = _MERGES.get(enum(clause, "command_type"))
            if operation is not None:
                self.relation(operation, node.relation)
            if operation in (Operation.UPDATE, Operation.DELETE):
                alone = Row(row.relation, row.name, variables=self.variables)
                by_source = enum(clause, "match_kind") == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE"
                chosen = clause.HasField("condition") and limits(clause.condition, alone if by_source else row)
                self._has_where &= chosen or (joined and not by_source)
        self.descend(node, scope, ("with_clause", "relation"))

    def _on_truncate(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        self._has_where = False
        for item in map(unwrap, node.relations):
            if item is not None:
                self.relation(Operation.DELETE, item)
                if enum(node, "behavior") == "DROP_CASCADE":
                    self.touch(Touch(Operation.DELETE, Name(item.schemaname or None, item.relname), "cascade"))

    # ------------------------------------------------------------ expressions

    def _on_column_ref(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        self._column_references += 1
        if len(node.fields) > 1:
            self._attributes.update(dict.fromkeys(filter(None, [string_of(node.fields[-1])])))

    def _on_indirection(self, node: Message, scope: frozenset[str]) -> None:
        self._attributes.update(dict.fromkeys(filter(None, strings_of(node.indirection))))
        self.descend(node, scope)

    def _on_operator(self, node: Message, scope: frozenset[str]) -> None:
        if enum(node, "kind") != "AEXPR_NULLIF" or node.name:
            self._operator(strings_of(node.name))
        self.descend(node, scope, ("name",))

    def _on_sub_link(self, node: Message, scope: frozenset[str]) -> None:
        if node.oper_name:
            self._operator(strings_of(node.oper_name))
        self.descend(node, scope, ("oper_name",))

    def _on_sort_by(self, node: Message, scope: frozenset[str]) -> None:
        if node.use_op:
            self._operator(strings_of(node.use_op))
        self.visit(node.node, scope)

    def _operator(self, names: list[str]) -> None:
        if len(names) > 1 and names[-2] != "pg_catalog":
            self.touch(Touch(Operation.EXECUTE, Name(names[-2], names[-1]), "operator"))
        elif len(names) == 1:
            self._operators[names[0]] = None

    def _on_table_sample(self, node: Message, scope: frozenset[str]) -> None:
        names = strings_of(node.method)
        if names[-1] not in ("system", "bernoulli") or names[:-1] not in ([], ["pg_catalog"]):
            schema = names[-2] if len(names) > 1 else None
            self.touch(Touch(Operation.EXECUTE, Name(schema, names[-1]), "function"))
        self.descend(node, scope, ("method",))

    def _on_function(self, node: Message, scope: frozenset[str]) -> None:
        names = strings_of(node.funcname)
        called = Name(names[-2] if len(names) > 1 else None, names[-1])
        self._functions[called] = None
        category = BUILTINS.get(called.name)
        if called.schema not in (None, "pg_catalog") and category not in ANYWHERE:
            category = None
        match category:
            case None:
                self.touch(Touch(Operation.EXECUTE, called, "function"))
            case Category.COMPUTES | Category.COMPUTES_VOLATILE:
                pass
            case Category.SETTING:
                self._set_config(node)
            case Category.LOCK:
                self.other(Operation.SESSION, "session", "advisory-lock")
            case Category.SEQUENCE:
                self._sequence(node, Operation.READ if called.name == "currval" else Operation.UPDATE)
            case Category.PUBLISH:
                self.sensitive = True
                channel = constant(node.args[0]) if node.args else None
                self.other(Operation.PUBLISH, "channel", channel or "?")
            case Category.DYNAMIC:
                self.opaque(f"{called.name}()")
            case Category.ADMIN:
                self.touch(Touch(Operation.ADMIN, Name(called.schema or "pg_catalog", called.name), "function"))
        self.descend(node, scope, ("funcname",))

    def _sequence(self, node: Message, operation: Operation) -> None:
        self.sensitive = True
        text = constant(node.args[0]) if node.args else None
        parts = (text or "").split(".")
        if 1 <= len(parts) <= 2 and all(part.replace("_", "a").isalnum() and part == part.lower() for part in parts):
            self.touch(Touch(operation, Name(parts[0] if len(parts) > 1 else None, parts[-1]), "relation"))
        else:
            self.touch(Touch(operation, Name(None, "?"), "relation"))

    # ------------------------------------------------------------ settings

    def _set_config(self, node: Message) -> None:
        self.sensitive = True
        name = constant(node.args[0]) if node.args else None
        value = node.args[1] if len(node.args) > 1 else None
        if name is None or value is None or kind_of(value) not in ("A_Const", "ParamRef", "TypeCast"):
            # A computed name may be any setting's; a computed value may carry data that SHOW gives back.
            self.unknown("set_config()")
            return
        self._setting(name, constant(value) or "")

    def _on_set(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        self.sensitive = True
        kind = enum(node, "kind")
        if kind == "VAR_SET_MULTI":
            self.other(Operation.SESSION, "session", "transaction")
        elif kind == "VAR_RESET_ALL":
            self.other(Operation.SESSION, "setting", "*")
            self._effects.append(Setting("*", None))
        else:
            default = kind in ("VAR_RESET", "VAR_SET_DEFAULT")
            told = ",".join(constant(arg) or "" for arg in node.args)
            self._setting(node.name, None if default else told)

    def _setting(self, name: str, value: str | None) -> None:
        name = name.lower()
        self._effects.append(Setting(name, value))
        if name in ROLES and value not in (None, "none"):
            self.other(Operation.ADMIN, "role", value or "?")
        else:
            self.other(Operation.SESSION, "setting", name)

    def _on_show(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        self.other(Operation.SESSION, "setting", node.name.lower())

    def _on_transaction(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        self.other(Operation.SESSION, "session", "transaction")
        self._ends_transaction |= enum(node, "kind") not in _STARTS

    def _on_session(self, node: Message, scope: frozenset[str]) -> None:
        kind = node.DESCRIPTOR.name
        self.other(Operation.SESSION, "session", SESSION[kind])
        if kind == "DeallocateStmt":
            self._effects.append(Deallocate(node.name or None))
        elif kind == "DiscardStmt":
            self._effects += (Deallocate(None), Setting("*", None))
        self.descend(node, scope, ("constraints",))

    # ------------------------------------------------------------ statements about statements

    def _on_explain(self, node: Message, scope: frozenset[str]) -> None:
        options = [option for option in map(unwrap, node.options) if option is not None]
        # Named at all, ANALYZE counts as on: `(ANALYZE off, ANALYZE)` is valid.
        before, has_where = self._planned, self._has_where
        self._planned = before or not any(option.defname == "analyze" for option in options)
        self.visit(node.query, scope)
        self._has_where = has_where if self._planned else self._has_where
        self._planned = before

    def _on_do(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        self.sensitive = True
        options = {o.defname: o.arg for o in map(unwrap, node.args) if o is not None}
        language = string_of(options["language"]) if "language" in options else "plpgsql"
        if language != "plpgsql" or "as" not in options:
            self.opaque("DO")
            return
        plpgsql.block(self, string_of(options["as"]))

    def _on_call(self, node: Message, scope: frozenset[str]) -> None:
        names = strings_of(node.funccall.funcname)
        called = Name(names[-2] if len(names) > 1 else None, names[-1])
        self.touch(Touch(Operation.EXECUTE, called, "function"))
        self.visit(node.funccall, scope)

    def _on_prepare(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        self._effects.append(Prepare(node.name, self.inner(node.query)))
        self.other(Operation.SESSION, "session", "prepared")

    def _on_declare(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        self._effects.append(DeclareCursor(node.portalname, self.inner(node.query)))
        self.other(Operation.SESSION, "session", "cursor")

    def _on_execute(self, node: Message, scope: frozenset[str]) -> None:
        self._effects.append(Execute(node.name))
        self.other(Operation.SESSION, "session", "prepared")
        self.descend(node, scope)

    def _on_fetch(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        self._effects.append(FetchCursor(node.portalname))
        self.other(Operation.SESSION, "session", "cursor")

    def _on_listen(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        self.other(Operation.CONSUME, "channel", node.conditionname)

    def _on_notify(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        self.other(Operation.PUBLISH, "channel", node.conditionname)

    def _on_lock(self, node: Message, scope: frozenset[str]) -> None:
        del scope
        # ACCESS SHARE is what reading takes; every other mode stands in the way of others.
        operation = Operation.READ if node.mode == 1 else Operation.UPDATE
        for item in map(unwrap, node.relations):
            if item is not None:
                self.relation(operation, item)

    def _on_copy(self, node: Message, scope: frozenset[str]) -> None:
        # An empty file name is told by nothing from none at all.
        self.sensitive = True
        if node.HasField("relation"):
            self.relation(Operation.INSERT if node.is_from else Operation.READ, node.relation)
        if node.is_program:
            self.other(Operation.EXECUTE, "server", "program")
            self.other(Operation.ADMIN, "server", "program")
        elif node.filename:
            self.other(Operation.ADMIN, "server", "file")
        self.descend(node, scope, ("relation", "options", "attlist"))

    def _on_create_as(self, node: Message, scope: frozenset[str]) -> None:
        self.relation(Operation.DEFINE, node.into.rel, new=True)
        self.visit(node.query, scope)


_MERGES: Final = {"CMD_INSERT": Operation.INSERT, "CMD_UPDATE": Operation.UPDATE, "CMD_DELETE": Operation.DELETE}
_STARTS: Final = frozenset({"TRANS_STMT_BEGIN", "TRANS_STMT_START", "TRANS_STMT_SAVEPOINT", "TRANS_STMT_RELEASE"})

_HANDLERS: Final[dict[str, Handler]] = {
    "RangeVar": Walk._on_range_var,
    "SelectStmt": Walk._on_select,
    "InsertStmt": Walk._on_insert,
    "UpdateStmt": Walk._on_update,
    "DeleteStmt": Walk._on_delete,
    "MergeStmt": Walk._on_merge,
    "TruncateStmt": Walk._on_truncate,
    "ColumnRef": Walk._on_column_ref,
    "A_Indirection": Walk._on_indirection,
    "A_Expr": Walk._on_operator,
    "SubLink": Walk._on_sub_link,
    "SortBy": Walk._on_sort_by,
    "RangeTableSample": Walk._on_table_sample,
    "FuncCall": Walk._on_function,
    "VariableSetStmt": Walk._on_set,
    "VariableShowStmt": Walk._on_show,
    "TransactionStmt": Walk._on_transaction,
    "ExplainStmt": Walk._on_explain,
    "DoStmt": Walk._on_do,
    "CallStmt": Walk._on_call,
    "PrepareStmt": Walk._on_prepare,
    "DeclareCursorStmt": Walk._on_declare,
    "ExecuteStmt": Walk._on_execute,
    "FetchStmt": Walk._on_fetch,
    "ListenStmt": Walk._on_listen,
    "NotifyStmt": Walk._on_notify,
    "LockStmt": Walk._on_lock,
    "CopyStmt": Walk._on_copy,
    "CreateTableAsStmt": Walk._on_create_as,
    **dict.fromkeys(SESSION, Walk._on_session),
    **definitions.HANDLERS,
}
