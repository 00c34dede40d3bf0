"""`analyze`: PostgreSQL text to `Analysis`, memoised.

By the exact text, then by its `template`, then by libpg_query's normalised text; each is the whole statement with
constants replaced, so equal keys are equal statements. Not by the parser's fingerprint: it has 64 bits, and a caller
who may choose both texts can look for two that collide. Statements in which a constant decides are kept by text only.
"""

import re
from typing import Final

from ostiary.sql.memo import Memo
from ostiary.sql.model import Analysis, Statement, UnparsableError
from ostiary.sql.nodes import unwrap
from ostiary.sql.parse import guarded, normalize, parse
from ostiary.sql.template import template
from ostiary.sql.walk import Walk

_by_text: Final[Memo[Analysis]] = Memo()
_by_shape: Final[Memo[Analysis]] = Memo()
#: `normalize` numbers constants as parameters: a statement that has parameters itself is another one.
_parameters: Final = re.compile(r"\$\d+").findall


def analyze(text: str) -> Analysis:
    """What a text of one or more statements does. Raises UnparsableError."""
    known = _by_text.get(text)
    if known is not None:
        return known
    shape = template(text)
    known = _by_shape.get(shape) if shape is not None else None
    if known is None:
        guarded(text)
        normal = normalize(text)
        key = "\0".join([normal, *_parameters(text)])
        known = _by_shape.get(key)
        if known is None:
            known = fresh(text)
            if known.by_template:
                _by_shape.put(key, known)
        if known.by_template and shape is not None:
            _by_shape.put(shape, known)
    _by_text.put(text, known)
    return known


def fresh(text: str) -> Analysis:
    """`analyze` without any memo. Raises UnparsableError."""
    guarded(text)
    statements: list[Statement] = []
    by_template = True
    try:
        for raw in parse(text):
            node = unwrap(raw)
            if node is not None:
                walk = Walk()
                statements.append(walk.statement(node))
                by_template &= not walk.sensitive
    except RecursionError:
        raise UnparsableError("the statement is nested too deeply") from None
    return Analysis(tuple(statements), by_template)
