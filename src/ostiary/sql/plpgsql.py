"""The body of a DO block: its SQL and its expressions are judged as statements, EXECUTE of a string is unknown.

libpg_query gives the block as JSON in which every expression is a `PLpgSQL_expr` with its text and how that text is
to be parsed (RawParseMode of parser.h).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import postgast

from ostiary.core import Operation
from ostiary.sql.model import UnparsableError
from ostiary.sql.nodes import unwrap
from ostiary.sql.parse import guarded, parse

if TYPE_CHECKING:
    from ostiary.sql.walk import Walk

MAX_BLOCKS: Final = 8
_STATEMENT, _EXPRESSION = 0, 2
_ASSIGNMENTS: Final = frozenset({3, 4, 5})
#: Statements whose effects are all in their expressions and nested statements.
_PLAIN: Final = frozenset(
    f"PLpgSQL_stmt_{name}"
    for name in (
        *("assert", "assign", "block", "call", "case", "close", "commit", "dynexecute", "dynfors", "execsql", "exit"),
        *("fetch", "forc", "foreach_a", "fori", "fors", "getdiag", "if", "loop", "open", "perform", "raise", "return"),
        *("rollback", "while"),
    )
)
_DYNAMIC: Final = frozenset({"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors", "dynquery"})
_CURSORS: Final = frozenset({"PLpgSQL_stmt_open", "PLpgSQL_stmt_fetch"})
_ENDS: Final = frozenset({"PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback"})
_TOKEN: Final = postgast.pg_query_pb2.Token.Value
_EQUALS: Final = frozenset({_TOKEN("COLON_EQUALS"), 61})
_GIVES: Final = _EQUALS | {_TOKEN("DEFAULT")}
#: What may stand behind the name of a cursor: its query is no default.
_CURSOR: Final = frozenset({_TOKEN("CURSOR"), _TOKEN("SCROLL"), _TOKEN("NO")})
_DECLARE, _BEGIN, _SEMICOLON = _TOKEN("DECLARE"), _TOKEN("BEGIN_P"), 59


def block(walk: "Walk", body: str) -> None:
    """Have `walk` take in what a plpgsql block does. Raises UnparsableError."""
    if walk.blocks >= MAX_BLOCKS:
        raise UnparsableError("DO blocks are nested too deeply")
    guarded(body)
    quoted = body.replace("'", "''")
    try:
        (function,) = postgast.parse_plpgsql(f"DO '{quoted}'")
    except (postgast.PgQueryError, ValueError, RecursionError) as error:
        raise UnparsableError(f"the DO block can't be parsed: {error}") from None
    nodes = list(_nodes(function))
    names = walk.variables | {str(value["refname"]) for _, value in nodes if "refname" in value}
    for kind, value in nodes:
        if kind in _ENDS:
            walk.ends_transaction()
        if kind in _DYNAMIC:
            walk.opaque("EXECUTE")
        if kind in _CURSORS:
            # What it is named is a value: whoever fetches from that name gets its rows, or another's.
            walk.other(Operation.UNKNOWN, "session", "cursor")
        if kind.startswith("PLpgSQL_stmt_") and kind not in _PLAIN:
            walk.unknown(kind)
        if kind == "PLpgSQL_expr":
            for text in _texts(str(value["query"]), value.get("parseMode", -1)):
                guarded(text)
                _judge(walk, text, names)
    for default in _defaults(body):
        _judge(walk, f"SELECT {default}", names)


def _judge(walk: "Walk", text: str, names: frozenset[str]) -> None:
    for node in parse(text):
        inner = unwrap(node)
        if inner is not None:
            walk.absorb(walk.nested(names, walk.blocks + 1).statement(inner))


def _defaults(body: str) -> Iterator[str]:
    """Expressions of declarations: `name type := expression;`. The JSON leaves out those of records."""
    raw = body.encode()
    declaring, depth = False, 0
    #: Of the declaration: how many tokens it has so far, the second of them, where its expression begins.
    count, second, begins = 0, 0, -1
    for token in postgast.scan(body).tokens:
        kind = token.token
        if not declaring or (count == 0 and kind in (_DECLARE, _BEGIN)):
            declaring, count = kind == _DECLARE, 0
            continue
        depth += (kind in (40, 91)) - (kind in (41, 93))
        if kind == _SEMICOLON and depth == 0:
            if begins >= 0:
                yield raw[begins : token.start].decode()
            count, begins = 0, -1
            continue
        count += 1
        if count == 2:
            second = kind
        if begins < 0 and depth == 0 and kind in _GIVES and second not in _CURSOR:
            begins = token.end


def _nodes(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the JSON with the key it stands under."""
    waiting = [value]
    while waiting:
        at = waiting.pop()
        if isinstance(at, list):
            waiting += at
        elif isinstance(at, dict):
            for key, inner in at.items():
                if isinstance(inner, dict):
                    yield key, inner
                if isinstance(inner, dict | list):
                    waiting.append(inner)


def _texts(query: str, mode: int) -> list[str]:
    """Statements that stand for an expression's text."""
    if mode == _STATEMENT:
        return [query]
    if mode == _EXPRESSION:
        return [f"SELECT {query}"]
    if mode in _ASSIGNMENTS:
        depth = 0
        for token in postgast.scan(query).tokens:
            depth += (token.token in (40, 91)) - (token.token in (41, 93))
            if depth == 0 and token.token in _EQUALS:
                raw = query.encode()
                return [f"SELECT {raw[: token.start].decode()}", f"SELECT {raw[token.end :].decode()}"]
    raise UnparsableError("a DO block has an expression of an unknown kind")
