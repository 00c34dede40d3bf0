"""Statements in statements: EXPLAIN, DO, CALL, and what is prepared or declared for later."""

from typing import TYPE_CHECKING, Final

from google.protobuf.message import Message

from ostiary.core import Operation
from ostiary.sql import plpgsql
from ostiary.sql.definitions import Handler
from ostiary.sql.model import DeclareCursor, Execute, FetchCursor, Name, Prepare, Touch
from ostiary.sql.nodes import string_of, strings_of, unwrap

if TYPE_CHECKING:
    from ostiary.sql.walk import Walk


def _explain(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    options = [option for option in map(unwrap, node.options) if option is not None]
    # Named at all, ANALYZE counts as on: `(ANALYZE off, ANALYZE)` is valid.
    before, has_where = walk.planned, walk.has_where
    walk.planned = before or not any(option.defname == "analyze" for option in options)
    walk.visit(node.query, scope)
    walk.has_where = has_where if walk.planned else walk.has_where
    walk.planned = before


def _do(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.sensitive = True
    options = {o.defname: o.arg for o in map(unwrap, node.args) if o is not None}
    language = string_of(options["language"]) if "language" in options else "plpgsql"
    if language != "plpgsql" or "as" not in options:
        walk.opaque("DO")
        return
    plpgsql.block(walk, string_of(options["as"]))


def _call(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    names = strings_of(node.funccall.funcname)
    called = Name.of(names)
    walk.touch(Touch(Operation.EXECUTE, called, "function"))
    walk.visit(node.funccall, scope)


def _prepare(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.effects.append(Prepare(node.name, walk.inner(node.query)))
    walk.other(Operation.SESSION, "session", "prepared")


def _declare(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.effects.append(DeclareCursor(node.portalname, walk.inner(node.query)))
    walk.other(Operation.SESSION, "session", "cursor")


def _execute(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    walk.effects.append(Execute(node.name))
    walk.other(Operation.SESSION, "session", "prepared")
    walk.descend(node, scope)


def _fetch(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.effects.append(FetchCursor(node.portalname))
    walk.other(Operation.SESSION, "session", "cursor")


HANDLERS: Final[dict[str, Handler]] = {
    "ExplainStmt": _explain,
    "DoStmt": _do,
    "CallStmt": _call,
    "PrepareStmt": _prepare,
    "DeclareCursorStmt": _declare,
    "ExecuteStmt": _execute,
    "FetchStmt": _fetch,
}
