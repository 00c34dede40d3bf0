"""`analyze`: PostgreSQL text to `Analysis`.

The tree is walked node by node. Each kind of node is either in a table here or makes the statement UNKNOWN: a new
grammar's node can't pass as a read. Memoised by exact text, then by normalised text, which is the whole statement
with constants replaced. Not by the parser's fingerprint: it has 64 bits, and a caller who may choose both texts
can look for two that collide.
"""

from collections import OrderedDict
from hashlib import blake2b
from typing import TypeVar

import postgast
from google.protobuf.message import Message

from ostiary.core import Operation
from ostiary.sql import builtins
from ostiary.sql.conditions import limits
from ostiary.sql.model import (
    Analysis,
    Copy,
    Deallocate,
    DeclareCursor,
    Execute,
    FetchCursor,
    Name,
    Other,
    Prepare,
    SessionEffect,
    Statement,
    Touch,
    UnparsableError,
)
from ostiary.sql.nodes import DEFINITIONS, EXPRESSIONS, OF_THE_SESSION, TAGS, string_of, strings_of, unwrap

_V = TypeVar("_V")
MAX_TEXT = 1 << 20
MAX_DEPTH = 150
_KEPT = 4096
_by_text: OrderedDict[str, Analysis] = OrderedDict()
_by_shape: OrderedDict[str, tuple[Statement, ...]] = OrderedDict()


def analyze(text: str) -> Analysis:
    """What a text of one or more statements does. Raises UnparsableError."""
    known = _by_text.get(text)
    if known is not None:
        return known
    if len(text) > MAX_TEXT:
        raise UnparsableError(f"the statement is longer than {MAX_TEXT} characters")
    if "\0" in text:
        raise UnparsableError("the statement has a NUL byte in it")
    try:
        normal = postgast.normalize(text)
        statements = _by_shape.get(normal)
        sensitive = False
        if statements is None:
            statements, sensitive = _statements(text)
    except postgast.PgQueryError as error:
        raise UnparsableError(f"the statement can't be parsed: {error}") from None
    except (RecursionError, UnicodeError):
        raise UnparsableError("the statement is nested too deeply, or is not text") from None
    if not sensitive:
        _keep(_by_shape, normal, statements)
    shape = blake2b((text if sensitive else normal).encode(), digest_size=16).hexdigest()
    analysis = Analysis(statements, shape)
    if len(text) <= 8192:
        _keep(_by_text, text, analysis)
    return analysis


def _keep(kept: OrderedDict[str, _V], key: str, value: _V) -> None:
    kept[key] = value
    if len(kept) > _KEPT:
        kept.popitem(last=False)


def _statements(text: str) -> tuple[tuple[Statement, ...], bool]:
    found = []
    sensitive = False
    for raw in postgast.parse(text).stmts:
        node = unwrap(raw.stmt)
        if node is None:
            continue
        walk = _Walk()
        statement = walk.statement(node)
        found.append(statement)
        sensitive |= walk.sensitive
    return tuple(found), sensitive


class _Walk:
    """One statement."""

    def __init__(self) -> None:
        self._touches: dict[Touch, None] = {}
        self._functions: dict[Name, None] = {}
        self._has_where = True
        self._dynamic = False
        self._session: SessionEffect | None = None
        #: Constants in the text decided something: the normalised text is no key for it.
        self.sensitive = False
        self._depth = 0

    def statement(self, node: Message) -> Statement:
        """Walk a whole statement."""
        kind = node.DESCRIPTOR.name
        self._visit(node, frozenset())
        tag = TAGS.get(kind, kind.removesuffix("Stmt").upper())
        touches = tuple(self._touches)
        return Statement(
            tag,
            touches,
            tuple(self._functions),
            self._has_where,
            self._dynamic,
            self._session,
            _summary(tag, touches, has_where=self._has_where),
        )

    # ------------------------------------------------------------ touching

    def _touch(self, operation: Operation, name: Name, kind: str = "relation") -> None:
        match kind:
            case "relation":
                self._touches[Touch(operation, name, "relation")] = None
            case "function":
                self._touches[Touch(operation, name, "function")] = None
            case _:
                self._touches[Touch(operation, name, "other")] = None

    def _relation(self, operation: Operation, node: Message, scope: frozenset[str] = frozenset()) -> None:
        schema, name = getattr(node, "schemaname", ""), getattr(node, "relname", "")
        if schema or name not in scope:
            self._touch(operation, Name(schema or None, name))

    def _unknown(self, what: str) -> None:
        self._touch(Operation.UNKNOWN, Name(None, what), "other")

    # ------------------------------------------------------------ walking

    def _visit(self, node: Message, scope: frozenset[str]) -> None:
        inner = unwrap(node)
        if inner is None:
            return
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnparsableError("the statement is nested too deeply")
        kind = inner.DESCRIPTOR.name
        handler = getattr(self, f"_on_{kind}", None)
        if handler is not None:
            handler(inner, scope)
        elif kind in EXPRESSIONS:
            self._children(inner, scope)
        elif kind in DEFINITIONS:
            self._definition(inner, DEFINITIONS[kind], scope)
        elif kind in OF_THE_SESSION:
            self.sensitive = True
            self._session = Other(kind)
            self._touch(Operation.SESSION, Name(None, TAGS.get(kind, kind)), "other")
        else:
            self._unknown(kind)
            self._children(inner, scope)
        self._depth -= 1

    def _children(self, node: Message, scope: frozenset[str], skip: tuple[str, ...] = ()) -> None:
        for field, value in node.ListFields():
            if field.message_type is None or field.name in skip:
                continue
            for child in value if field.is_repeated else (value,):
                self._visit(child, scope)

    def _with(self, node: Message, scope: frozenset[str]) -> frozenset[str]:
        """Names of the WITH clause; each CTE sees those before it, all of them when RECURSIVE."""
        if not node.HasField("with_clause"):
            return scope
        clause = node.with_clause
        ctes = [unwrap(cte) for cte in clause.ctes]
        names = [cte.ctename for cte in ctes if cte is not None]
        if clause.recursive:
            scope |= set(names)
        for name, cte in zip(names, ctes, strict=True):
            assert cte is not None
            self._children(cte, scope)
            scope |= {name}
        return scope

    def _on_RangeVar(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802 - the parser's name
        self._relation(Operation.READ, node, scope)

    def _on_SelectStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        scope = self._with(node, scope)
        if node.HasField("into_clause"):
            self._relation(Operation.DEFINE, node.into_clause.rel)
        if node.locking_clause:
            for item in node.from_clause:
                source = unwrap(item)
                if source is not None and source.DESCRIPTOR.name == "RangeVar":
                    self._relation(Operation.UPDATE, source, scope)
        self._children(node, scope, ("with_clause", "into_clause", "locking_clause"))

    def _on_InsertStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        scope = self._with(node, scope)
        self._relation(Operation.INSERT, node.relation)
        conflict = node.on_conflict_clause
        if node.HasField("on_conflict_clause") and conflict.action == 3:  # ONCONFLICT_UPDATE
            self._relation(Operation.UPDATE, node.relation)
        if node.returning_clause.ListFields() or node.returning_list:
            self._relation(Operation.READ, node.relation)
        self._children(node, scope, ("with_clause", "relation"))

    def _on_UpdateStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        self._change(Operation.UPDATE, node, scope)

    def _on_DeleteStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        self._change(Operation.DELETE, node, scope)

    def _change(self, operation: Operation, node: Message, scope: frozenset[str]) -> None:
        scope = self._with(node, scope)
        self._relation(operation, node.relation)
        self._relation(Operation.READ, node.relation)
        self._has_where &= node.HasField("where_clause") and limits(node.where_clause)
        self._children(node, scope, ("with_clause", "relation"))

    def _on_MergeStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        scope = self._with(node, scope)
        relation = node.relation
        for operation in (Operation.READ, Operation.INSERT, Operation.UPDATE, Operation.DELETE):
            self._relation(operation, relation)
        self._children(node, scope, ("with_clause", "relation"))

    def _on_TruncateStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        del scope
        self._has_where = False
        for item in node.relations:
            relation = unwrap(item)
            if relation is not None:
                self._relation(Operation.DELETE, relation)

    def _on_FuncCall(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        names = strings_of(node.funcname)
        schema, name = (names[-2] if len(names) > 1 else None), names[-1]
        called = Name(schema, name)
        self._functions[called] = None
        built_in = schema in (None, "pg_catalog")
        if built_in and name in builtins.PURE:
            pass
        elif built_in and name in builtins.SESSION:
            self.sensitive = True
            self._session = Other(name)
            self._touch(Operation.SESSION, called, "function")
        elif built_in and name in builtins.SEQUENCE:
            self._touch(Operation.UPDATE, called, "function")
        elif built_in and name in builtins.PUBLISH:
            self._touch(Operation.PUBLISH, called, "function")
        elif name in builtins.ADMIN:
            self._touch(Operation.ADMIN, called, "function")
        elif name in builtins.DYNAMIC:
            self._dynamic = True
            self._touch(Operation.UNKNOWN, called, "function")
        else:
            self._touch(Operation.EXECUTE, called, "function")
        self._children(node, scope)

    def _on_A_Expr(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        names = strings_of(node.name)
        if len(names) > 1 and names[0] != "pg_catalog":
            self._touch(Operation.EXECUTE, Name(names[0], names[-1]), "function")
        self._children(node, scope)

    def _on_ExplainStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        # Without ANALYZE nothing runs; it is judged as if it did, since planning evaluates functions.
        self._visit(node.query, scope)

    def _on_DoStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        del node, scope
        self.sensitive = self._dynamic = True
        self._unknown("DO")

    def _on_CallStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        self._children(node, scope)
        self._touch(Operation.EXECUTE, Name(None, "CALL"), "other")

    def _on_PrepareStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        del scope
        self._session = Prepare(node.name, self._inner(node.query))
        self._touch(Operation.SESSION, Name(None, "PREPARE"), "other")

    def _on_DeclareCursorStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        del scope
        self._session = DeclareCursor(node.portalname, self._inner(node.query))
        self._touch(Operation.SESSION, Name(None, "DECLARE"), "other")

    def _inner(self, node: Message) -> Statement:
        walk = _Walk()
        inner = unwrap(node)
        assert inner is not None
        statement = walk.statement(inner)
        self.sensitive |= walk.sensitive
        return statement

    def _on_ExecuteStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        self._session = Execute(node.name)
        self._touch(Operation.SESSION, Name(None, "EXECUTE"), "other")
        self._children(node, scope)

    def _on_FetchStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        del scope
        self._session = FetchCursor(node.portalname)
        self._touch(Operation.SESSION, Name(None, "FETCH"), "other")

    def _on_DeallocateStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        del scope
        self._session = Deallocate(node.name or None)
        self._touch(Operation.SESSION, Name(None, "DEALLOCATE"), "other")

    def _on_NotifyStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        del scope
        self._touch(Operation.PUBLISH, Name(None, node.conditionname), "other")

    def _on_CopyStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        self.sensitive = True
        inward = bool(node.is_from)
        relation: Name | None = None
        if node.HasField("relation"):
            target = node.relation
            relation = Name(target.schemaname or None, target.relname)
            self._relation(Operation.INSERT if inward else Operation.READ, target)
        if node.is_program:
            self._touch(Operation.EXECUTE, Name(None, "PROGRAM"), "other")
            self._touch(Operation.ADMIN, Name(None, "PROGRAM"), "other")
        elif node.filename:
            self._touch(Operation.ADMIN, Name(None, "file"), "other")
        chosen = "text"
        for option in node.options:
            element = unwrap(option)
            if element is not None and getattr(element, "defname", "") == "format":
                chosen = string_of(element.arg)
        self._session = Copy(inward, relation, tuple(strings_of(node.attlist)), chosen)
        self._children(node, scope, ("relation", "options", "attlist"))

    def _on_CreateTableAsStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        self._relation(Operation.DEFINE, node.into.rel)
        self._visit(node.query, scope)

    def _on_DropStmt(self, node: Message, scope: frozenset[str]) -> None:  # noqa: N802
        del scope
        for item in node.objects:
            named = unwrap(item)
            names = strings_of(named.items) if named is not None and hasattr(named, "items") else []
            if not names:
                self._touch(Operation.DEFINE, Name(None, "DROP"), "other")
            else:
                self._touch(Operation.DEFINE, Name(names[-2] if len(names) > 1 else None, names[-1]))

    def _definition(self, node: Message, operation: Operation, scope: frozenset[str]) -> None:
        """DDL and its like: relations it names itself get the operation, what it queries is read."""
        touched = False
        for field, value in node.ListFields():
            if field.message_type is None:
                continue
            for child in value if field.is_repeated else (value,):
                inner = unwrap(child)
                if inner is None:
                    continue
                if inner.DESCRIPTOR.name == "RangeVar":
                    touched = True
                    self._relation(operation, inner)
                elif inner.DESCRIPTOR.name in EXPRESSIONS or inner.DESCRIPTOR.name == "SelectStmt":
                    self._visit(inner, scope)
        if not touched:
            self._touch(operation, Name(None, TAGS.get(node.DESCRIPTOR.name, node.DESCRIPTOR.name)), "other")


def _summary(tag: str, touches: tuple[Touch, ...], *, has_where: bool) -> str:
    names = dict.fromkeys(
        t.name.name if t.name.schema is None else f"{t.name.schema}.{t.name.name}"
        for t in touches
        if t.kind == "relation"
    )
    what = ", ".join(list(names)[:5])
    without = "" if has_where else " without WHERE"
    return f"{tag}{without} on {what}" if what else f"{tag}{without}"
