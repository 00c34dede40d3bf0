"""How things under a target are named: one text with one reading, so that a policy can't be talked out of its meaning.

A name is a chain from the outside in. Relational things are dotted: `public.customers.email`. Everything else is a
path of two parts or more: `exchange/payments`, `GET /v1/refunds/{id}`; in a path, behind its first part, a dot is a
character like any other. A part that holds a separator or a quote is quoted as SQL quotes identifiers:
`public."odd.name"`. A part that needs no quotes has none; hence two names that differ as text differ as things.

`?` as the first of several dotted parts stands for an outside that is not known: `?.orders` is a table `orders` in
some schema.
"""

import re
from typing import Final, Literal

Separator = Literal[".", "/"]
UNRESOLVED: Final = "?"
MAX_NAME: Final = 1024
MAX_DEPTH: Final = 32

_QUOTED = r'"(?:[^"]|"")*+"'
_DOTTED_PART = re.compile(rf'(?:[^./"]++|{_QUOTED})', re.DOTALL)
_PATH_PART = re.compile(rf'(?:[^/"]++|{_QUOTED})', re.DOTALL)
_DOTTED = re.compile(rf"{_DOTTED_PART.pattern}(?:\.{_DOTTED_PART.pattern})*+", re.DOTALL)
_PATH = re.compile(rf"{_DOTTED_PART.pattern}(?:/{_PATH_PART.pattern})++", re.DOTALL)


def join(*parts: str, separator: Separator = ".") -> str:
    """Write a name from its parts, outermost first; parts may hold any text."""
    return separator.join(_quote(part, separator if index else ".") for index, part in enumerate(parts))


def lineage(name: str) -> tuple[str, ...]:
    """The name and everything it is in, outermost first: `("public", "public.customers")`.

    Raises ValueError for a text that `join` does not write: nothing may be concluded from it.
    """
    if len(name) > MAX_NAME:
        raise ValueError(f"a name of {len(name)} characters is longer than {MAX_NAME}")
    if _DOTTED.fullmatch(name):
        separator: Separator = "."
        part = _DOTTED_PART
    elif _PATH.fullmatch(name):
        separator, part = "/", _PATH_PART
    else:
        raise ValueError("not a name: its parts are empty, or its quotes do not pair")
    spans = [match.span() for match in part.finditer(name)]
    if len(spans) > MAX_DEPTH:
        raise ValueError(f"a name of more than {MAX_DEPTH} parts")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise ValueError("not a name: it is not Unicode text")
    for index, (start, end) in enumerate(spans):
        text = name[start:end]
        unresolved = text == UNRESOLVED and index == 0 and separator == "." and len(spans) > 1
        if not unresolved and _quote(_unquote(text), separator if index else ".") != text:
            raise ValueError("not a name: a part is quoted without need, or not quoted in spite of it")
    return tuple(name[:end] for _, end in spans)


def _unquote(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _quote(part: str, separator: Separator) -> str:
    if part in ("", UNRESOLVED) or separator in part or "/" in part or '"' in part:
        return '"' + part.replace('"', '""') + '"'
    return part
