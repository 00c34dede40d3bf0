"""libpg_query behind a guard.

Its output functions recurse without a limit: some ten thousand nested operators overrun the stack and end the
process. So texts that could nest too deeply are told by their tokens and never reach the parser.
"""

from typing import Final

import postgast
from google.protobuf.message import DecodeError, Message

from ostiary.sql.model import UnparsableError

try:
    # protobuf refuses more than 100 levels, 50 of the grammar's, which real statements reach; the guard's limit holds.
    from google._upb._message import SetAllowOversizeProtos

    SetAllowOversizeProtos(True)  # noqa: FBT003 - C function
except ImportError:  # pragma: no cover - another protobuf runtime: fewer levels, the rest is the same
    pass

MAX_TEXT: Final = 1 << 20
#: Levels that the parser may be asked to nest; the walker's own limit is lower.
MAX_NESTING: Final = 2000
_OPEN: Final = frozenset({40, 91})
_CLOSE: Final = frozenset({41, 93})
_SEMICOLON: Final = 59


def _tokens(*names: str) -> frozenset[int]:
    return frozenset(postgast.pg_query_pb2.Token.Value(name) for name in names)


#: What nests nothing by itself; 46 is the dot.
_FLAT: Final = _tokens("IDENT", "UIDENT", "FCONST", "SCONST", "USCONST", "BCONST", "XCONST", "ICONST", "PARAM") | {46}
#: Where a chain ends and the next begins; the grammar makes flat lists of AND and OR. 44 is the comma.
_BETWEEN_CHAINS: Final = _tokens("AND", "OR") | {44}
#: Chains that go on behind a comma or AND.
_LONG_CHAINS: Final = _tokens("JOIN", "UNION", "INTERSECT", "EXCEPT", "BETWEEN")


def guarded(text: str) -> None:
    """Raises UnparsableError for a text that must not reach the parser."""
    if len(text) > MAX_TEXT:
        raise UnparsableError(f"the statement is longer than {MAX_TEXT} characters")
    if "\0" in text:
        raise UnparsableError("the statement has a NUL byte in it")
    try:
        if len(text) > 2 * MAX_NESTING and _nesting(text) > MAX_NESTING:
            raise UnparsableError("the statement is nested too deeply")
    except UnicodeError:
        raise UnparsableError("the statement is not text") from None
    except postgast.PgQueryError as error:
        raise UnparsableError(f"the statement can't be parsed: {error}") from None


def _nesting(text: str) -> int:
    """An upper bound of the levels that left-recursive rules make; right recursion is bounded by bison's own stack."""
    worst = below = chain = longer = 0
    #: Per open bracket what stands around it.
    stack: list[tuple[int, int, int]] = []
    for token in postgast.scan(text).tokens:
        kind = token.token
        if kind in _FLAT:
            continue
        if kind in _BETWEEN_CHAINS:
            chain = 0
        elif kind in _OPEN:
            stack.append((below, chain, longer))
            below += chain + longer + 1
            chain = longer = 0
        elif kind in _CLOSE:
            if stack:
                below, chain, longer = stack.pop()
        elif kind == _SEMICOLON and not stack:
            chain = longer = 0
        elif kind in _LONG_CHAINS:
            longer += 1
        else:
            chain += 1
        worst = max(worst, below + chain + longer)
    return worst


def parse(text: str) -> list[Message]:
    """Nodes of the statements. Raises UnparsableError."""
    try:
        return [raw.stmt for raw in postgast.parse(text).stmts]
    except postgast.PgQueryError as error:
        raise UnparsableError(f"the statement can't be parsed: {error}") from None
    except DecodeError:
        raise UnparsableError("the statement is nested too deeply") from None
    except UnicodeError:
        raise UnparsableError("the statement is not text") from None


def normalize(text: str) -> str:
    """The text with constants replaced. Raises UnparsableError."""
    try:
        return str(postgast.normalize(text))
    except postgast.PgQueryError as error:
        raise UnparsableError(f"the statement can't be parsed: {error}") from None
    except UnicodeError:
        raise UnparsableError("the statement is not text") from None
