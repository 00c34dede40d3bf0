"""The transforms of one target, put to work on columns.

A column's values are decoded by its codec, changed, and encoded for the same type. Where that can't be, for the type or
for one value, a text is redacted and anything else is nulled.
"""

import codecs
from collections.abc import Callable
from typing import Any

from ostiary.core import Column, Datum, Secret, ValueCodec, ValueKind
from ostiary.masking.model import ClassRule, Transform
from ostiary.masking.transforms.coarse import generalised, shifted
from ostiary.masking.transforms.keyed import FormatPreserving, Hash, Keys, Token, days_shifted
from ostiary.masking.transforms.partial import REDACTED, partial

Cells = list[bytes | None]
_REDACTED_BYTES = REDACTED.encode()
_UTF8 = ValueCodec(Datum.TEXT, bytes.decode, str.encode)
#: What costs more than remembering its result for a while.
_DEAR = frozenset({Transform.HASH, Transform.TOKEN, Transform.FORMAT_PRESERVING})
#: Results a replacer remembers from batch to batch, of cells of so many bytes; replacers a target remembers.
_KEPT = 1024
_KEPT_CELL = 256
_REPLACERS = 64


class Replacer:
    """What one rule does to the cells of one type in one format.

    Args:
        shown: the transform that is applied, which may be a stronger one than the rule's.
        constant: stands for every value; where there is `replace`, for those that it raises ValueError for.
        dear: remember results from batch to batch.
    """

    __slots__ = ("_constant", "_dear", "_known", "_replace", "shown")

    def __init__(
        self,
        shown: Transform,
        constant: bytes | None,
        replace: Callable[[bytes], bytes] | None = None,
        *,
        dear: bool = False,
    ) -> None:
        self.shown = shown
        self._constant = constant
        self._replace = replace
        self._dear = dear
        self._known: dict[bytes, bytes | None] = {}

    def cells(self, cells: Cells) -> Cells:
        """A column's cells, replaced. A null stays null."""
        constant = self._constant
        replace = self._replace
        if replace is None:
            return [None if cell is None else constant for cell in cells]
        known = self._known
        new: Cells = []
        for cell in cells:
            if cell is None:
                new.append(None)
                continue
            changed = known.get(cell)
            if changed is None:
                try:
                    changed = replace(cell)
                except (ValueError, OverflowError):
                    changed = constant
                if len(cell) <= _KEPT_CELL:
                    known[cell] = changed
            new.append(changed)
        if not self._dear or len(known) > _KEPT:
            self._known = {}
        return new


class Transforms:
    """The transforms of one target. `key` None: nothing of this target takes one."""

    def __init__(self, target: str, key: Secret | None) -> None:
        self._keys = None if key is None else Keys(key, target)
        self._hash = None if self._keys is None else Hash(self._keys)
        self._tokens: dict[str, Token] = {}
        self._replacers: dict[tuple[ClassRule, str, ValueKind, ValueCodec | None, str], Replacer] = {}

    def hash(self, value: bytes) -> bytes:
        """HMAC-SHA256 under the target's key, the first 128 bits as 32 letters."""
        return self._hashing().letters(value)

    def text(self, transform: Transform, value: bytes) -> bytes:
        """A piece of UTF-8 text, replaced. Null has no piece to stand for: the caller nulls the whole value."""
        match transform:
            case Transform.PARTIAL:
                return _partial_utf8(value)
            case Transform.HASH:
                return self.hash(value)
            case _:
                return _REDACTED_BYTES

    def replacer(self, rule: ClassRule, data_class: str, column: Column) -> Replacer:
        """What a class's rule does to a column."""
        key = rule, data_class, column.kind, column.codec, column.charset
        known = self._replacers.get(key)
        if known is None:
            if len(self._replacers) >= _REPLACERS:
                del self._replacers[next(iter(self._replacers))]
            known = self._replacers[key] = self._made(rule, data_class, column)
        return known

    def token(self, data_class: str) -> Token:
        """The tokens of a class."""
        found = self._tokens.get(data_class)
        if found is None:
            found = self._tokens[data_class] = Token(self._with_keys(), data_class)
        return found

    def _made(self, rule: ClassRule, data_class: str, column: Column) -> Replacer:
        text = column.kind is ValueKind.TEXT
        codec = column.codec
        if text and codec is None:
            codec = _of_charset(column.charset)
        if codec is None or rule.transform is Transform.NULL:
            return Replacer(Transform.NULL, None)
        redacted = _redaction(codec) if text else None
        if text and codec is _UTF8 and rule.transform is Transform.HASH:
            return Replacer(rule.transform, redacted, self.hash, dear=True)
        change = self._change(rule, data_class, codec)
        if change is None:
            return Replacer(Transform.REDACT if text else Transform.NULL, redacted)
        return Replacer(rule.transform, redacted, _replacing(codec, change), dear=rule.transform in _DEAR)

    def _change(self, rule: ClassRule, data_class: str, codec: ValueCodec) -> Callable[[Any], Any] | None:
        """None: values of this kind are not changed so."""
        datum = codec.datum
        match rule.transform:
            case Transform.PARTIAL:
                return partial if datum is Datum.TEXT else None
            case Transform.GENERALISE:
                return generalised(rule, datum)
            case Transform.DATE_SHIFT:
                return shifted(days_shifted(self._with_keys(), data_class, rule.days), datum)
            case Transform.FORMAT_PRESERVING:
                return FormatPreserving(self._with_keys(), data_class).change(datum, codec.size)
            case Transform.TOKEN:
                return self.token(data_class).change(datum, codec.size)
            case Transform.HASH:
                return self._hashing().change(datum, codec.size)
            case _:
                return None

    def _with_keys(self) -> Keys:
        if self._keys is None:
            raise ValueError("masking: a transform needs a key")
        return self._keys

    def _hashing(self) -> Hash:
        if self._hash is None:
            raise ValueError("masking: `hash` needs a key")
        return self._hash


def _replacing(codec: ValueCodec, change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    decode, encode = codec.decode, codec.encode
    if not codec.array:
        return lambda cell: encode(change(decode(cell)))

    def each(cell: bytes) -> bytes:
        around, items = decode(cell)
        return encode((around, [None if item is None else change(item) for item in items]))

    return each


def _redaction(codec: ValueCodec) -> bytes:
    """What fits."""
    return codec.encode(REDACTED if not codec.size or codec.size >= len(REDACTED) else "*" * codec.size)


def _of_charset(charset: str) -> ValueCodec | None:
    if charset == "utf-8":
        return _UTF8
    try:
        codec = codecs.lookup(charset)
    except LookupError:
        return None
    return ValueCodec(
        Datum.TEXT, lambda cell: codec.decode(cell, "strict")[0], lambda value: codec.encode(value, "replace")[0]
    )


def transcoded(codec: codecs.CodecInfo, cell: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change a cell of another charset as UTF-8. What does not decode is redacted."""
    try:
        changed = change(codec.decode(cell, "strict")[0].encode()).decode()
    except UnicodeError:
        changed = REDACTED
    return codec.encode(changed, "replace")[0]


def _partial_utf8(cell: bytes) -> bytes:
    try:
        return partial(cell.decode()).encode()
    except UnicodeDecodeError:
        return _REDACTED_BYTES
