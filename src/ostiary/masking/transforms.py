"""What becomes of a value. Every transform takes linear time and gives text that says nothing it should not."""

import codecs
import hmac
import re
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ostiary.core import Column, Secret, ValueKind
from ostiary.masking.model import Transform

REDACTED = "[redacted]"
_REDACTED_BYTES = REDACTED.encode()
#: Characters; a longer value is a document, and its ends say too much or nothing.
MAX_PARTIAL = 512
_SHORT = 8
_SEPARATORS = str.maketrans("", "", " -")
_PHONE_SEPARATORS = str.maketrans("", "", " -().+/")
#: Hex digits as letters: 0-9 become g-p.
_LETTERS = bytes.maketrans(b"0123456789", b"ghijklmnop")
_IBAN = re.compile(r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}", re.ASCII)

Cells = list[bytes | None]


def partial(value: str) -> str:
    """Show a little of a value, by what it looks like; docs/masking.md has the table."""
    if len(value) > MAX_PARTIAL:
        return REDACTED
    at = value.rfind("@")
    if at >= 0:
        return _partial_email(value, at)
    compact = value.translate(_SEPARATORS)
    if compact.isdecimal() and 13 <= len(compact) <= 19:
        return "*" * (len(compact) - 4) + compact[-4:]
    if value[:1] == "+":
        digits = value.translate(_PHONE_SEPARATORS)
        if digits.isdecimal() and 8 <= len(digits) <= 15:
            return f"+{digits[:2]}***{digits[-2:]}"
    if _IBAN.fullmatch(compact):
        return f"{compact[:4]}***{compact[-2:]}"
    return "***" if len(value) < _SHORT else f"{value[0]}***{value[-1]}"


def _partial_email(value: str, at: int) -> str:
    dot = value.rfind(".", at)
    top = value[dot:] if dot > at and len(value) - dot <= 5 else ""
    if not top[1:].isalpha():
        top = ""
    local = value[0] if at > 2 else ""
    domain = value[at + 1] if dot - at > 3 else ""
    return f"{local}***@{domain}***{top}"


class Transforms:
    """The transforms of one target. `key` None: nothing of this target is hashed."""

    def __init__(self, target: str, key: Secret | None) -> None:
        self._key = None if key is None else Secret(_derive(key, target))

    def hash(self, value: bytes) -> bytes:
        """HMAC-SHA256 under the target's key, the first 128 bits as 32 letters: no detector takes it for something."""
        if self._key is None:
            raise ValueError("masking: `hash` needs a key")
        return hmac.digest(self._key.reveal(), value, "sha256")[:16].hex().encode().translate(_LETTERS)

    def text(self, transform: Transform, value: bytes) -> bytes:
        """A piece of UTF-8 text, replaced. Null has no piece to stand for: the caller nulls the whole value."""
        match transform:
            case Transform.PARTIAL:
                return _partial_utf8(value)
            case Transform.HASH:
                return self.hash(value)
            case _:
                return _REDACTED_BYTES

    def cells(self, transform: Transform, column: Column, cells: Cells) -> Cells:
        """A whole column, replaced by what its type can hold: text gets text, everything else null."""
        if transform is Transform.NULL or column.kind is not ValueKind.TEXT:
            return [None] * len(cells)
        replace: Callable[[bytes], bytes]
        if column.charset == "utf-8":
            if transform is Transform.REDACT:
                return [None if cell is None else _REDACTED_BYTES for cell in cells]
            replace = _partial_utf8 if transform is Transform.PARTIAL else self.hash
        else:
            try:
                codec = codecs.lookup(column.charset)
            except LookupError:
                return [None] * len(cells)

            def replace(cell: bytes) -> bytes:
                return transcoded(codec, cell, lambda text: self.text(transform, text))

        known: dict[bytes | None, bytes | None] = {None: None}
        for cell in cells:
            if cell not in known:
                assert cell is not None
                known[cell] = replace(cell)
        return [known[cell] for cell in cells]


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


def _derive(key: Secret, target: str) -> bytes:
    """The target's own key: HKDF-SHA256 (RFC 5869)."""
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"ostiary masking hash v1\0" + target.encode()).derive(
        key.reveal()
    )
