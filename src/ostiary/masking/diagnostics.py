"""Sentences of a target, with the values in them taken out.

Such a sentence puts values between quotes or in parentheses, after words of its own: `invalid input syntax for type
integer: "ada"`. A value may hold quotes and parentheses itself, and whoever wrote the command may have put words
around it to look like the target's own. So nothing between the first opening mark and the last closing one is trusted,
but for two shapes in which nothing else fits: names alone, joined by a few words of a closed list, and a list of
names that stands directly before `=`. A name is a word that the same diagnostic, the classification or the command's
own text contains. Outside the marks, words with a digit in them are values too.
"""

import re
from collections.abc import Set as AbstractSet

from ostiary.masking.transforms import REDACTED

_QUOTES = "\"'`«»„“”‚‘’‹›「」『』"  # noqa: RUF001 - quotation marks of the languages targets speak
_OPENING = re.compile(rf"[{_QUOTES}(\[{{]")
_CLOSING = f"{_QUOTES})]}}"
#: One quoted word, up to the next mark.
_QUOTED = re.compile(rf"[{_QUOTES}]([^{_QUOTES}(){{}}\[\]]*)[{_QUOTES}]")
_KEY = re.compile(r"\(([\w, ]+)\)(?==)")
_JOINTS = frozenset({
    "a", "already", "and", "as", "because", "but", "by", "check", "column", "constraint", "delete", "depends", "does",
    "exists", "for", "foreign", "from", "in", "index", "insert", "is", "key", "not", "null", "of", "on", "or",
    "references", "relation", "schema", "table", "the", "to", "type", "unique", "update", "value", "view", "violates",
    "with",
})  # fmt: skip
_VALUE = re.compile(r"\S*\d\S*")


def scrub(text: str, names: AbstractSet[str]) -> str:
    """The sentence with every value replaced by `[redacted]`. `names` are words that are known not to be values."""
    first = _first_mark(text)
    if first is None:
        return _VALUE.sub(REDACTED, text)
    last = max(text.rfind(mark) for mark in _CLOSING)
    key = _KEY.match(text, first)
    if _names_only(text[first : last + 1], names):
        keep, hidden = last + 1, ""
    elif key is not None and all(name.strip() in names for name in key[1].split(",")):
        keep, hidden = key.end() + 1, REDACTED
    else:
        keep, hidden = first, REDACTED
    # A mark that is never closed hides all that follows.
    tail = text[last + 1 :] if last > keep or not hidden else ""
    return f"{_VALUE.sub(REDACTED, text[:first])}{text[first:keep]}{hidden}{_VALUE.sub(REDACTED, tail)}"


def _first_mark(text: str) -> int | None:
    for match in _OPENING.finditer(text):
        at = match.start()
        # An apostrophe inside a word of the target's own opens nothing.
        if text[at] not in "'’" or not (text[at - 1 : at].isalpha() and text[at + 1 : at + 2].isalpha()):  # noqa: RUF001
            return at
    return None


def _names_only(marked: str, names: AbstractSet[str]) -> bool:
    """From the first mark to the last: every mark quotes a name, and all words between are of the closed list."""
    quoted = _QUOTED.findall(marked)
    between = _QUOTED.sub(" ", marked)
    return bool(quoted) and all(name in names for name in quoted) and all(w.lower() in _JOINTS for w in between.split())
