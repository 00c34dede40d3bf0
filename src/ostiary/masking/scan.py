"""Detectors over whole columns: the cells of a column are joined and searched in one pass, and only hits cost more."""

import codecs
import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from ostiary.core import Column, ValueKind
from ostiary.masking.detectors import Finder, Found, TooManyError
from ostiary.masking.model import ClassRule, Detection, Detector, Transform
from ostiary.masking.transforms import REDACTED, Cells, Transforms, transcoded

#: Bytes searched at once.
CHUNK = 128 * 1024
#: A larger document is not rewritten but nulled.
MAX_JSON = 1024 * 1024
_JSON_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
#: Charsets whose ASCII bytes always mean ASCII: searched as they are.
_ASCII_SAFE = frozenset(
    ["utf-8", "ascii", "koi8-r", "koi8-u", "euc_jp", "euc_kr", "gb2312"]
    + [f"iso8859-{part}" for part in range(1, 17)]
    + [f"cp{page}" for page in (866, 874, *range(1250, 1259))]
)
_LEAST_CARD = 13
#: Never shown in part.
_WHOLE = frozenset({Detector.PRIVATE_KEY, Detector.JWT, Detector.AWS_SECRET_KEY})


class Scanner:
    """One target's detectors and what each does."""

    def __init__(self, detection: Detection, transforms: Transforms) -> None:
        self._by = {d: t for d, t in detection.transforms.items() if t is not Transform.KEEP}
        for detector in _WHOLE & self._by.keys():
            if self._by[detector] is Transform.PARTIAL:
                self._by[detector] = Transform.REDACT
        self._finder = Finder(self._by)
        self._transforms = transforms
        #: False when every detector is off.
        self.on = bool(self._by)

    def may_contain(self, data: bytes) -> bool:
        """False when no detector finds anything in any piece of `data`."""
        return self.on and self._finder.may_contain(data)

    def may_find(self, joined: bytes) -> bool:
        """The same for whole values with NUL between them, and more exact."""
        return self._finder.may_find(joined)

    def text(self, value: bytes) -> tuple[bytes, str]:
        """A free text with what was found replaced, and what changed it ("" when nothing did)."""
        # Twelve digits are no card, and digits alone are nothing else.
        if (len(value) < _LEAST_CARD and value.isdigit()) or not self.may_contain(value):
            return value, ""
        try:
            found = self._finder.find(value)
        except TooManyError:
            return REDACTED.encode(), "detectors: redact"
        return (self._replaced(value, found), self._label(found[0])) if found else (value, "")

    def column(self, column: Column, cells: Cells) -> tuple[Cells, str]:
        """Cells with what was found replaced, and what changed them. Gives the very list when nothing did."""
        if column.kind is ValueKind.TEXT and not is_ascii_safe(column.charset):
            return self._foreign(column, cells)
        label = ""
        changed: Cells | None = None
        for first, chunk in _chunks(cells):
            present = [number for number, cell in enumerate(chunk, first) if cell is not None]
            values = [cell for cell in chunk if cell is not None]
            blob = b"\0".join(values)
            if not self._finder.may_find(blob):
                continue
            if blob.count(b"\0") != len(values) - 1:
                new, what = self._one_by_one(column, values)
            else:
                new, what = self._joined(column, values, blob)
            if what:
                label = what
                if changed is None:
                    changed = list(cells)
                for number, cell in zip(present, new, strict=True):
                    changed[number] = cell
        return (cells, "") if changed is None else (changed, label)

    def _one_by_one(self, column: Column, values: list[bytes]) -> tuple[Cells, str]:
        """Cells with a NUL in them can't be joined by it."""
        label = ""
        new: Cells = []
        for value in values:
            cell: bytes | None = value
            if self._finder.may_contain(value):
                (cell,), what = self._joined(column, [value], value)
                label = what or label
            new.append(cell)
        return new, label

    def _joined(self, column: Column, values: list[bytes], blob: bytes) -> tuple[Cells, str]:
        try:
            found = self._finder.find(blob)
        except TooManyError:
            cells: Cells = list(values)
            transform = Transform.REDACT if column.kind is ValueKind.TEXT else Transform.NULL
            replacer = self._transforms.replacer(ClassRule(transform), "", column)
            return replacer.cells(cells), f"detectors: {transform}"
        if not found:
            return list(values), ""
        label = self._label(found[0])
        nulls = any(self._by[each.detector] is Transform.NULL for each in found)
        if column.kind is ValueKind.TEXT and not nulls:
            if len(values) == 1:
                return [self._replaced(blob, found)], label
            return list(self._replaced(blob, found).split(b"\0")), label
        starts = list(accumulate((len(value) + 1 for value in values), initial=0))
        new: Cells = list(values)
        hit: dict[int, list[Found]] = {}
        for each in found:
            hit.setdefault(bisect_right(starts, each.start) - 1, []).append(each)
        for number, finds in hit.items():
            new[number] = self._cell(column, values[number], finds, starts[number])
        return new, label

    def _cell(self, column: Column, value: bytes, found: list[Found], offset: int) -> bytes | None:
        if any(self._by[each.detector] is Transform.NULL for each in found):
            return None
        match column.kind:
            case ValueKind.STRUCTURED:
                return self._json(value)
            case ValueKind.OPAQUE:
                return None
            case _:
                shifted = [Found(each.start - offset, each.end - offset, each.detector) for each in found]
                return self._replaced(value, shifted)

    def _replaced(self, data: bytes, found: list[Found]) -> bytes:
        pieces: list[bytes] = []
        at = 0
        for each in found:
            pieces += (
                data[at : each.start],
                self._transforms.text(self._by[each.detector], data[each.start : each.end]),
            )
            at = each.end
        pieces.append(data[at:])
        return b"".join(pieces)

    def _json(self, value: bytes) -> bytes | None:
        """A JSON document with the finds inside its strings replaced. Whatever is not clearly that becomes null."""
        if len(value) > MAX_JSON or value.lstrip()[:1] not in (b"{", b"[", b'"'):
            return None
        try:
            text = value.decode()
            json.loads(text)
            rewritten = _JSON_STRING.sub(self._json_string, text).encode()
            # A number is no place for a replacement, and neither is a find that spans strings.
            return None if self._finder.find(rewritten) else rewritten
        except (ValueError, RecursionError, TooManyError):
            return None

    def _json_string(self, match: re.Match[str]) -> str:
        literal = match.group()
        inner = json.loads(literal).encode() if "\\" in literal else literal[1:-1].encode()
        if not self._finder.may_contain(inner):
            return literal
        found = self._finder.find(inner)
        return json.dumps(self._replaced(inner, found).decode(), ensure_ascii=False) if found else literal

    def _foreign(self, column: Column, cells: Cells) -> tuple[Cells, str]:
        """A charset in which ASCII bytes may be halves of characters: decoded, or nulled when that can't be done."""
        try:
            codec = codecs.lookup(column.charset)
        except LookupError:
            return [None] * len(cells), "unknown charset: null"
        label = ""

        def change(text: bytes) -> bytes:
            nonlocal label
            new, what = self.text(text)
            label = what or label
            return new

        new: Cells = [None if cell is None else transcoded(codec, cell, change) for cell in cells]
        return (new, label or "undecodable: redact") if new != cells else (cells, "")

    def _label(self, found: Found) -> str:
        return f"{found.detector} detector: {self._by[found.detector]}"


def is_ascii_safe(charset: str) -> bool:
    """True when ASCII bytes of this charset mean ASCII, wherever they stand."""
    if charset == "utf-8":
        return True
    try:
        return codecs.lookup(charset).name in _ASCII_SAFE
    except LookupError:
        return False


def _chunks(cells: Cells) -> Iterator[tuple[int, Cells]]:
    """Runs of cells of about `CHUNK` bytes, with the number of their first. A larger cell stands alone."""
    first = size = 0
    for number, cell in enumerate(cells):
        length = 0 if cell is None else len(cell) + 1
        if size and size + length > CHUNK:
            yield first, cells[first:number]
            first, size = number, 0
        size += length
    if first < len(cells):
        yield first, cells[first:]
