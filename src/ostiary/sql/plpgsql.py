"""Bodies in plpgsql: their SQL and expressions are judged as statements, EXECUTE of a string is unknown.

libpg_query gives the block as JSON in which every expression is a `PLpgSQL_expr` with its text and how that text is
to be parsed (RawParseMode of parser.h).
"""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import postgast
from google.protobuf.message import Message

from ostiary.core import Operation
from ostiary.sql.model import UnparsableError
from ostiary.sql.nodes import strings_of, unwrap
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
        *("return_next", "return_query", "rollback", "while"),
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
_DECLARE, _BEGIN, _FOR = _TOKEN("DECLARE"), _TOKEN("BEGIN_P"), _TOKEN("FOR")
_DOT, _SEMICOLON, _BRACKET = 46, 59, 91
#: `%` of `%TYPE`, and a dot before it.
_COPIES: Final = frozenset({37, _DOT})
_AFTER_TYPE: Final = _GIVES | {_TOKEN("COLLATE"), _TOKEN("NOT")}
#: Types that libpg_query can't look up are tried as these: a row, then one value.
_KINDS: Final = ("record", "text")
_ANYTHING: Final = frozenset({"", "record"})
#: What a trigger function knows without declaring it.
TRIGGER: Final = (
    *("new", "old", "tg_name", "tg_when", "tg_level", "tg_op", "tg_relid", "tg_relname", "tg_table_name"),
    *("tg_table_schema", "tg_nargs", "tg_argv", "tg_event", "tg_tag"),
)
#: SELECT … INTO NEW: which columns of the row it sets is not told.
_ASSIGNS_ROW: Final = re.compile(r"\binto\s+(?:strict\s+)?new\b", re.IGNORECASE).search


def block(walk: "Walk", body: str) -> None:
    """Have `walk` take in what a plpgsql block does. Raises UnparsableError."""
    if walk.blocks >= MAX_BLOCKS:
        raise UnparsableError("DO blocks are nested too deeply")
    guarded(body)
    _run(walk, body, (f"DO {_quoted(_plain_types(body, kind))}" for kind in _KINDS), "the DO block")


def function(walk: "Walk", made: Message, body: str) -> None:
    """Have `walk` take in what the body of a CreateFunctionStmt does. Raises UnparsableError."""
    guarded(body)
    #: Each is made when the one before it did not parse.
    texts: Iterable[str]
    if strings_of(made.return_type.names)[-1:] in (["trigger"], ["event_trigger"]):
        # libpg_query's JSON of a trigger function is broken (an empty object for each TG_ variable): what it knows
        # without declaring it is given as arguments.
        walk.variables |= frozenset(TRIGGER)
        header = f"CREATE FUNCTION f({', '.join(f'{name} record' for name in TRIGGER)}) RETURNS record"
        texts = (f"{header} LANGUAGE plpgsql AS {_quoted(_plain_types(body, kind))}" for kind in _KINDS)
    else:
        texts = (_with_plain_types(made, body, kind) for kind in _KINDS)
    _run(walk, body, texts, "the body")
    if _ASSIGNS_ROW(body) is not None:
        walk.assigned["*"] = None


def _run(walk: "Walk", body: str, texts: Iterable[str], what: str) -> None:
    nodes = list(_nodes(_parsed(texts, what)))
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
            for text in _texts(walk, str(value["query"]), value.get("parseMode", -1)):
                guarded(text)
                _judge(walk, text, names)
    for kind_of_it, default in _declarations(body):
        if kind_of_it:
            _judge(walk, f"SELECT NULL::{kind_of_it}", names)
        if default:
            _judge(walk, f"SELECT {default}", names)


def _parsed(texts: Iterable[str], what: str) -> object:
    problem: Exception | None = None
    for text in texts:
        guarded(text)
        try:
            (parsed,) = postgast.parse_plpgsql(text)
        except (postgast.PgQueryError, ValueError, RecursionError) as error:
            problem = problem or error
        else:
            return parsed
    raise UnparsableError(f"{what} can't be parsed: {problem}") from None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _with_plain_types(made: Message, body: str, kind: str) -> str:
    """The definition, deparsed with types that libpg_query can look up."""
    tree = postgast.pg_query_pb2.ParseResult()
    plain = tree.stmts.add().stmt.create_function_stmt
    plain.CopyFrom(made)
    arguments = [argument for argument in map(unwrap, plain.parameters) if argument is not None]
    for each in (*(argument.arg_type for argument in arguments), plain.return_type):
        names = strings_of(each.names)
        if len(names) > 1 and names[-2] != "pg_catalog":
            del each.names[:]
            each.names.add().string.sval = kind
    for argument in arguments:
        argument.ClearField("defexpr")
    del plain.options[:]
    language, text = plain.options.add().def_elem, plain.options.add().def_elem
    language.defname, text.defname = "language", "as"
    language.arg.string.sval = "plpgsql"
    text.arg.list.items.add().string.sval = _plain_types(body, kind)
    return str(postgast.deparse(tree))


def _judge(walk: "Walk", text: str, names: frozenset[str]) -> None:
    for node in parse(text):
        walk.take_in(node, names)


def _plain_types(body: str, kind: str) -> str:
    """The body with `kind` in place of the qualified types of its declarations: libpg_query can't look those up."""
    raw, cut, at = body.encode(), [], 0
    for declared in _declared(body):
        last = 3 if len(declared) > 3 and declared[2].token == _DOT else 1
        following = declared[last + 1].token if len(declared) > last + 1 else 0
        if (last == 3 and following not in _COPIES) or following == _BRACKET:
            cut += [raw[at : declared[1].start], b"text" if following == _BRACKET else kind.encode()]
            at = declared[last].end
    return b"".join([*cut, raw[at:]]).decode()


def _declarations(body: str) -> Iterator[tuple[str, str]]:
    """Type and default of each declaration, "" for none: `name type := expression;`. The JSON leaves some out."""
    raw = body.encode()
    for declared in _declared(body):
        if len(declared) < 2 or declared[1].token in _CURSOR or (len(declared) > 2 and declared[2].token == _FOR):
            # Another name for an argument, or a cursor.
            continue
        depth, ends, begins = 0, declared[-1].end, -1
        for token in declared[1:]:
            depth += (token.token in (40, 91)) - (token.token in (41, 93))
            if depth == 0 and token.token in _AFTER_TYPE:
                ends = min(ends, token.start)
            if depth == 0 and token.token in _GIVES and begins < 0:
                begins = token.end
        kind = raw[declared[1].start : ends].decode()
        # What is copied is a column's type, or a row's, which the name of the relation tells.
        name, copies, _ = kind.partition("%")
        if copies and name.count(".") > _of_row(kind):
            name = name.rpartition(".")[0]
        default = raw[begins : declared[-1].end].decode() if begins >= 0 else ""
        yield ("" if name.strip().lower() in _ANYTHING else name), default


def _of_row(kind: str) -> int:
    return 1 if kind.lower().endswith("rowtype") else 0


def _declared(body: str) -> Iterator[list[Any]]:
    """Tokens of each declaration, without CONSTANT and the semicolon."""
    raw = body.encode()
    declaring, depth = False, 0
    tokens: list[Any] = []
    for token in postgast.scan(body).tokens:
        kind = token.token
        if not declaring or (not tokens and kind in (_DECLARE, _BEGIN)):
            declaring, tokens = kind == _DECLARE, []
            continue
        depth += (kind in (40, 91)) - (kind in (41, 93))
        if kind == _SEMICOLON and depth == 0:
            yield tokens
            tokens = []
        elif not (len(tokens) == 1 and raw[token.start : token.end].lower() == b"constant"):
            tokens.append(token)


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


def _texts(walk: "Walk", query: str, mode: int) -> list[str]:
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
                target = raw[: token.start].decode()
                row, _, column = target.strip().partition(".")
                if row.lower() == "new":
                    walk.assigned[column.strip().strip('"') or "*"] = None
                return [f"SELECT {target}", f"SELECT {raw[token.end :].decode()}"]
    raise UnparsableError("a DO block has an expression of an unknown kind")
