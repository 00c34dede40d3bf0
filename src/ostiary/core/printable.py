"""Hostile text, made harmless for a terminal, a log line or a chat message.

Recorded statements, cells and names are written by whoever talks through the gateway: escape sequences could move
the cursor or rename the window, bidirectional overrides could make a statement read as another one, invisible
characters could hide part of a name, a heap of combining marks could draw over the neighbouring lines.
"""

import unicodedata
from typing import Final

#: Letters and marks that Unicode calls printable and that draw nothing: fillers, joiners, variation selectors.
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U00013441\U00013442\U00016fe4\U0001d159"
) | frozenset(
    chr(code)
    for first, last in ((0xFE00, 0xFE0F), (0x180B, 0x180F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
)
#: No script needs more marks on one letter.
_MARKS: Final = 3


def printable(text: str) -> str:
    r"""One line that shows `text` and does nothing else.

    Control, format (bidirectional, zero-width), surrogate, private, unassigned and invisible characters, line and
    paragraph separators, and every space but the plain one become `\xNN`, `\uNNNN` or `\UNNNNNNNN` as Python
    writes them. A backslash of the text stays as it is, so this is for reading, not for decoding.
    """
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        harmless = char.isprintable() and char not in _INVISIBLE and marks <= _MARKS
        shown.append(char if harmless else _escape(char))
    return "".join(shown)


def printable_lines(text: str) -> tuple[str, ...]:
    """`printable` of each line (split at newlines, tabs as four spaces): for showing a statement as it was laid out.

    Whoever prints them indents or numbers the lines, so that none can pass for a line of the program itself.
    """
    return tuple(printable(line.replace("\t", "    ").removesuffix("\r")) for line in text.split("\n"))


def _escape(char: str) -> str:
    code = ord(char)
    if char in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
