"""One statement's tree, walked node by node: what it touches, and what it leaves behind in the session.

Each kind of node has a handler (`queries`, `changes`, `expressions`, `session`, `nested`, `definitions`), or is in a
table of `nodes`, or makes the statement UNKNOWN: a node of a later grammar can't pass as a read.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

from google.protobuf.message import Message

from ostiary.core import Operation, naming
from ostiary.sql import changes, definitions, expressions, nested, queries, session
from ostiary.sql.copy_statement import CopyStatement, copy_statement
from ostiary.sql.definitions import Handler
from ostiary.sql.flows import Flow
from ostiary.sql.lineage import Query
from ostiary.sql.model import Name, SessionEffect, Statement, Touch, UnparsableError
from ostiary.sql.nodes import PLAIN, children, tag_of, unwrap
from ostiary.sql.returns import returns

MAX_DEPTH: Final = 250
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
        # Below, what has no underscore is the handlers' to change.
        self._touches: dict[Touch, None] = {}
        self.functions: dict[Name, None] = {}
        self.attributes: dict[str, None] = {}
        self.operators: dict[str, None] = {}
        self.types: dict[Name, None] = {}
        self.assigned: dict[str, None] = {}
        self._flows: dict[Flow, None] = {}
        #: What has a WITH clause around the node being walked, outermost first.
        self.withs: tuple[Message, ...] = ()
        self._temporary: dict[str, None] = {}
        self.effects: list[SessionEffect] = []
        self.has_where = True
        self._dynamic = False
        self._ends_transaction = False
        #: EXPLAIN without ANALYZE: planned only, so nothing changes.
        self.planned = False
        #: Constants in the text decided something: its template is no key for it.
        self.sensitive = False
        #: Columns that have one value in the query being walked: `SELECT … WHERE name = 'work_mem'`.
        self.known: Mapping[tuple[str, ...], str] = {}
        self._depth = 0
        self.column_references = 0
        #: Calls, operators and conversions: what may run code.
        self.computations = 0
        #: Location in the text and number of each parameter.
        self._parameters: list[tuple[int, int]] = []

    def statement(self, node: Message) -> Statement:
        """Walk a whole statement. Raises UnparsableError."""
        self.visit(node, frozenset())
        places = sorted(set(self._parameters))
        return self.gathered(
            tag_of(node),
            returns(node, {location: ordinal for ordinal, (location, _) in enumerate(places)}),
            tuple(number for _, number in places),
            copy_statement(node),
        )

    def gathered(
        self,
        tag: str,
        result: Query | None = None,
        parameters: tuple[int, ...] = (),
        copy: CopyStatement | None = None,
    ) -> Statement:
        """What was walked and absorbed so far, as one statement."""
        return Statement(
            tag,
            tuple(self._touches),
            tuple(self.functions),
            tuple(self.attributes),
            tuple(self.operators),
            tuple(self._temporary),
            tuple(self.effects),
            self.has_where,
            self._dynamic,
            self._ends_transaction,
            result,
            parameters,
            copy,
            tuple(self.types),
            tuple(self.assigned),
            tuple(self._flows),
        )

    # ------------------------------------------------------------ touching

    def touch(self, touch: Touch) -> None:
        """One more operation on one more thing."""
        if self.planned:
            if touch.kind == "relation" and touch.new:
                return
            touch = replace(touch, operation=_CHANGES.get(touch.operation, touch.operation))
        self._touches[touch] = None

    def relation(
        self,
        operation: Operation,
        node: Message,
        scope: frozenset[str] = frozenset(),
        *,
        new: bool = False,
        kind: Literal["relation", "locked"] = "relation",
    ) -> None:
        """An operation on a RangeVar, unless its name is a CTE's."""
        name = Name(node.schemaname or None, node.relname)
        if new and (node.relpersistence == "t" or (name.schema or "").startswith("pg_temp")):
            self._temporary[name.name] = None
            name = Name("pg_temp", name.name)
        if name.schema is not None or name.name not in scope:
            self.touch(Touch(operation, name, kind, "made" if new else ""))

    def other(self, operation: Operation, *path: str) -> None:
        """An operation on something that is no relation, function or operator, named by the parts of a path."""
        self.touch(Touch(operation, Name(None, naming.join(*path, separator="/")), "other"))

    def flow(self, *flows: Flow) -> None:
        """Values are put somewhere."""
        if not self.planned:
            self._flows.update(dict.fromkeys(flows))

    @property
    def progress(self) -> int:
        """Grows with everything that a value may come from beside the client's own."""
        return self.column_references + self.computations

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
        self.functions.update(dict.fromkeys(inner.functions))
        self.attributes.update(dict.fromkeys(inner.attributes))
        self.operators.update(dict.fromkeys(inner.operators))
        self.types.update(dict.fromkeys(inner.types))
        self.assigned.update(dict.fromkeys(inner.assigned))
        self.flow(*inner.flows)
        self._temporary.update(dict.fromkeys(inner.temporary))
        self.effects += inner.effects
        self.has_where &= inner.has_where
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

    def take_in(self, node: Message, variables: frozenset[str]) -> None:
        """What a statement in a body does, this one does."""
        unwrapped = unwrap(node)
        if unwrapped is not None:
            self.absorb(self.nested(variables, self.blocks + 1).statement(unwrapped))

    def inner(self, node: Message) -> Statement:
        """A statement that is only kept for later."""
        walk = self.nested(self.variables, self.blocks)
        unwrapped = unwrap(node)
        assert unwrapped is not None
        statement = walk.statement(unwrapped)
        self.sensitive |= walk.sensitive
        return statement

    def with_names(self, node: Message, scope: frozenset[str]) -> frozenset[str]:
        """Names of the WITH clause; each CTE sees those before it, all of them when RECURSIVE."""
        if not node.HasField("with_clause"):
            return scope
        ctes = [cte for cte in map(unwrap, node.with_clause.ctes) if cte is not None]
        if node.with_clause.recursive:
            scope |= {cte.ctename for cte in ctes}
        around, self.withs = self.withs, (*self.withs, node)
        for cte in ctes:
            self.descend(cte, scope)
            scope |= {cte.ctename}
        self.withs = around
        return scope


_HANDLERS: Final[dict[str, Handler]] = {
    **queries.HANDLERS,
    **changes.HANDLERS,
    **expressions.HANDLERS,
    **session.HANDLERS,
    **nested.HANDLERS,
    **definitions.HANDLERS,
}
