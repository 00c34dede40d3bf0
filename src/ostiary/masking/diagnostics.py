"""Sentences of a target, with the values in them taken out.

A value may be anywhere in such a sentence, with quotes or without, and may hold quotes, parentheses and the target's
own words: whoever wrote the command chose what stands around it. So a sentence is shown only where it is known
(`sentences.txt`), and of it only the words that are known; what they leave room for is shown only where it is a name. A
name is one word that the same diagnostic, the classification or the command's own text contains.
"""

import re
from collections.abc import Set as AbstractSet
from importlib.resources import files
from typing import Final

from ostiary.masking.transforms import REDACTED

_PLACE: Final = re.compile("%([nkv])")
_QUOTED: Final = re.compile(r'"([^"]*)"')
_KEY: Final = re.compile(r"\(([\w, ]+)\)")
#: Names of types that stand without quotes.
_TYPES: Final = frozenset({
    "bigint", "bit", "bit varying", "boolean", "box", "bytea", "character", "character varying", "cidr", "circle",
    "date", "double precision", "inet", "integer", "interval", "json", "jsonb", "jsonpath", "macaddr", "money", "name",
    "numeric", "oid", "point", "polygon", "real", "record", "smallint", "text", "time", "time with time zone",
    "time without time zone", "timestamp", "timestamp with time zone", "timestamp without time zone", "tsquery",
    "tsvector", "unknown", "uuid", "xml",
})  # fmt: skip
#: (words, places between them): words stand first and last, and may be empty there.
_Sentence = tuple[tuple[str, ...], tuple[str, ...]]


def _read() -> tuple[_Sentence, ...]:
    lines = files("ostiary.masking").joinpath("sentences.txt").read_text("ascii").splitlines()
    parts = [_PLACE.split(line) for line in lines if line and not line.startswith("#")]
    return tuple((tuple(each[::2]), tuple(each[1::2])) for each in parts)


_SENTENCES: Final = _read()


def scrub(text: str, names: AbstractSet[str]) -> str:
    """The sentence with every value replaced by `[redacted]`. `names` are words that are known not to be values."""
    for words, places in _SENTENCES:
        found = _places(text, words)
        if found is not None:
            shown = [_shown(place, value, names) for place, value in zip(places, found, strict=True)]
            return "".join(part for pair in zip(words, [*shown, ""], strict=True) for part in pair)
    return REDACTED


def _places(text: str, words: tuple[str, ...]) -> list[str] | None:
    """What stands between the words; None when they are not the text's. Takes linear time."""
    first, *middle = words
    if not text.startswith(first):
        return None
    if not middle:
        return [] if text == first else None
    last = middle.pop()
    at, end = len(first), len(text) - len(last)
    if at > end or not text.endswith(last):
        return None
    found = []
    for word in middle:
        next_at = text.find(word, at, end)
        if next_at < 0:
            return None
        found.append(text[at:next_at])
        at = next_at + len(word)
    return [*found, text[at:end]]


def _shown(place: str, value: str, names: AbstractSet[str]) -> str:
    match place:
        case "n":
            quoted = _QUOTED.fullmatch(value)
            return value if value in _TYPES or (quoted is not None and quoted[1] in names) else REDACTED
        case "k":
            key = _KEY.fullmatch(value)
            return value if key is not None and all(name.strip() in names for name in key[1].split(",")) else REDACTED
        case _:
            return REDACTED
