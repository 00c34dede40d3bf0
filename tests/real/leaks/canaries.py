"""Canary values, and the search for them in whatever a server said: whole or in pieces, in many encodings.

A piece is six characters, digits or bytes of a value (all of a shorter one). Case is folded. A leak that is spread over
rows, or over columns, is put together first; so is one with something between its letters.
"""

import base64
import codecs
import random
import re
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

PIECE = 6
#: No vowels, and none by rot13: no word of anybody's is found in them.
LETTERS = "cdfgjkmpqtwxz"
#: What the generated queries' `translate` does.
SHIFT = str.maketrans(LETTERS + LETTERS.upper(), LETTERS[1:] + LETTERS[0] + (LETTERS[1:] + LETTERS[0]).upper())


def word(seed: int, size: int = 16) -> str:
    """Unique letters in both cases; no letter follows itself."""
    chance = random.Random(f"canary {seed}")
    letters = [chance.choice(LETTERS)]
    while len(letters) < size:
        letters.append(chance.choice([each for each in LETTERS if each != letters[-1]]))
    return "".join(chance.choice((each, each.upper())) for each in letters)


def digits(seed: int, size: int) -> str:
    """Unique digits, each unlike the one before; the first is not 0."""
    chance = random.Random(f"digits {seed}")
    found = [chance.choice("123456789")]
    while len(found) < size:
        found.append(chance.choice([each for each in "0123456789" if each != found[-1]]))
    return "".join(found)


class Spread(NamedTuple):
    """What a client got, in the shapes that are searched."""

    #: Every byte, case folded; and cells of one column, and of one row, run together.
    plain: tuple[bytes, ...]
    #: Numbers in the order they stand in.
    numbers: tuple[tuple[int, ...], ...]


def _cells(message: bytes) -> Iterator[bytes]:
    """Of a DataRow."""
    at = 7
    while at + 4 <= len(message):
        size = int.from_bytes(message[at : at + 4], "big", signed=True)
        at += 4
        yield message[at : at + max(size, 0)]
        at += max(size, 0)


def spread(messages: Iterable[bytes]) -> Spread:
    """Everything that was said, ready to be searched."""
    messages = list(messages)
    columns: dict[int, list[bytes]] = {}
    fields: list[bytes] = []
    for message in messages:
        if message[:1] == b"D":
            for index, cell in enumerate(_cells(message)):
                columns.setdefault(index, []).append(cell)
                fields.append(cell)
        elif message[:1] == b"d":
            columns.setdefault(-1, []).append(message[5:])
    whole = b"".join(messages)
    joined = [b"".join(cells) for cells in columns.values()]
    plain = {each.lower() for each in (whole, b"".join(fields), *joined)}
    for each in tuple(plain):
        plain |= {each[::-1], re.sub(rb"[^a-z0-9]+", b"", each), re.sub(rb"\\x|0x|\\u00|u\+00|&#x|[%;\s,]", b"", each)}
    texts = [b" ".join(fields), *(b" ".join(cells) for cells in columns.values()), whole]
    numbers = tuple({tuple(map(int, re.findall(rb"\d{1,7}", text))) for text in texts})
    return Spread(tuple(plain), numbers)


class Finder:
    """Looks for any of the values.

    Args:
        texts: values that are letters.
        others: (value as text, pieces of it as bytes) of any other type.
    """

    def __init__(self, texts: Iterable[str], others: Iterable[tuple[str, Iterable[bytes]]]) -> None:
        self._grams: dict[int, dict[bytes, str]] = {}
        self._codes: dict[tuple[int, ...], str] = {}
        for text in texts:
            self._add_text(text)
        for name, pieces in others:
            for piece in pieces:
                self._add(piece.lower(), name)

    def _add(self, gram: bytes, name: str) -> None:
        self._grams.setdefault(len(gram), {})[gram] = name

    def _windows(self, data: bytes, size: int, name: str) -> None:
        for at in range(len(data) - size + 1):
            self._add(data[at : at + size].lower(), name)

    def _add_text(self, text: str) -> None:
        for form in {text, text.lower(), text.upper(), text.translate(SHIFT), codecs.encode(text, "rot13")}:
            for variant in (form, form[::-1]):
                data = variant.encode()
                self._windows(data, PIECE, text)
                self._windows(data.hex().encode(), 2 * PIECE, text)
                self._windows("".join(f"{byte:08b}" for byte in data).encode(), 8 * PIECE, text)
                for before in range(3):
                    # Letters that hang on no neighbour: what three bytes make, from a boundary on.
                    encoded = base64.b64encode(b"\0" * before + data)[4 if before else 0 : -4]
                    self._windows(encoded, 8, text)
                codes = tuple(data)
                octal = tuple(int(f"{byte:o}") for byte in data)
                for numbers in (codes, octal):
                    for at in range(len(numbers) - PIECE + 1):
                        self._codes[numbers[at : at + PIECE]] = text

    def find(self, messages: Iterable[bytes]) -> set[str]:
        """Values that show."""
        seen = spread(messages)
        found: set[str] = set()
        for size, grams in self._grams.items():
            for data in seen.plain:
                windows = {data[at : at + size] for at in range(len(data) - size + 1)}
                found.update(grams[each] for each in windows & grams.keys())
        for numbers in seen.numbers:
            for stride in (1, 2, 3):
                for begin in range(stride):
                    line = numbers[begin::stride]
                    windows_of = {line[at : at + PIECE] for at in range(len(line) - PIECE + 1)}
                    found.update(self._codes[each] for each in windows_of & self._codes.keys())
        return found


def windows(data: bytes, size: int) -> list[bytes]:
    """Every piece of that size; all of it when it is shorter."""
    return [data[at : at + size] for at in range(max(len(data) - size, 0) + 1)]


def whole_number(value: int, size: int) -> list[bytes]:
    """An integer of so many bytes: itself, its neighbours, half and double, in decimal, hex, octal, binary and raw."""
    pieces: list[bytes] = []
    for each in (value, value + 1, value - 1, value * 2, -value):
        pieces += windows(str(abs(each)).encode(), 7)
        if abs(each) < 1 << (8 * size - 1):
            pieces.append(each.to_bytes(size, "big", signed=True))
    bits = f"{value:b}".encode()
    return [*pieces, f"{value:x}".encode(), f"{value:o}".encode(), *windows(bits, 30)]


def real_number(value: float) -> list[bytes]:
    """A double: its digits, and its eight bytes."""
    return [*windows(repr(value).encode(), 7), struct.pack("!d", value)]
