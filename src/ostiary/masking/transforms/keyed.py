"""What takes a key: `hash`, `token`, `format-preserving`, and the days of `date-shift`.

Keys are derived from the configured one by HKDF-SHA256 (RFC 5869), for each purpose, target and, but for `hash`, class.
The number in a purpose is the version of its construction; that of `token` stands in every token of a text.
"""

import hmac
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ostiary.core import Datum, Secret
from ostiary.masking.ff1 import FF1, Permutation
from ostiary.masking.transforms.partial import MAX_PARTIAL

TOKEN_PREFIX = "tok1_"  # noqa: S105 - what tokens begin with
#: Hex digits as letters: 0-9 become g-p.
_LETTERS = bytes.maketrans(b"0123456789", b"ghijklmnop")
_DIGITS = str.maketrans("ghijklmnop", "0123456789")
_SEALED = re.compile("(?:[a-p][a-p]){16,}")
_BYTES = re.compile(r"\\x(?:[0-9a-f]{2}){16,}")
_NUMBER = re.compile("-?[0-9]{1,19}")
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASHED = 32
#: A hash that has to be shorter than this, 64 bits, would make equals of what is not.
_LEAST_HASH = 16
_INT32 = 1 << 31
_INT64 = 1 << 63


class Keys:
    """Keys of one target."""

    def __init__(self, key: Secret, target: str) -> None:
        self._key = key
        self._target = target

    def derive(self, purpose: str, data_class: str | None = None, size: int = 32) -> Secret:
        """One for each purpose and class."""
        info = f"ostiary masking {purpose}\0{self._target}" + ("" if data_class is None else f"\0{data_class}")
        return Secret(HKDF(hashes.SHA256(), size, salt=None, info=info.encode()).derive(self._key.reveal()))


class Hash:
    """HMAC-SHA256, the first 128 bits; integers are permuted, so that different ones stay different."""

    def __init__(self, keys: Keys) -> None:
        self._key = keys.derive("hash v1")
        self._integers = Permutation(keys.derive("hash integers v1").reveal())

    def raw(self, value: bytes) -> bytes:
        """16 bytes."""
        return hmac.digest(self._key.reveal(), value, "sha256")[:16]

    def letters(self, value: bytes) -> bytes:
        """32 letters: no detector takes them for something."""
        return _letters(self.raw(value))

    def change(self, datum: Datum, size: int) -> Callable[[Any], Any] | None:
        """For values of one kind; None: they can't be hashed and stay what they are."""
        match datum:
            case Datum.TEXT if not size or size >= _LEAST_HASH:
                cut = min(size or _HASHED, _HASHED)
                return lambda value: self.letters(value.encode())[:cut].decode()
            case Datum.INTEGER:
                return lambda value: _permuted(self._integers.apply, value, size)
            case Datum.UUID:
                return lambda value: _as_uuid(self.raw(value))
            case Datum.BYTES:
                return self.raw
            case _:
                return None


class Token:
    """AES-SIV (RFC 5297) of texts and bytes; a permutation of what has a fixed size. Both ways."""

    def __init__(self, keys: Keys, data_class: str) -> None:
        self._siv = AESSIV(keys.derive("token v1", data_class, 64).reveal())
        self._integers = Permutation(keys.derive("token integers v1", data_class).reveal())
        self._blocks = _Blocks(keys.derive("token uuids v1", data_class))

    def change(self, datum: Datum, size: int) -> Callable[[Any], Any] | None:
        """For values of one kind; None: there is no token for them."""
        match datum:
            case Datum.TEXT:
                return self._text
            case Datum.INTEGER:
                return lambda value: _permuted(self._integers.apply, value, size)
            case Datum.UUID:
                return self._blocks.encrypt
            case Datum.BYTES:
                return lambda value: self._siv.encrypt(value, None)
            case _:
                return None

    def _text(self, value: str) -> str:
        return TOKEN_PREFIX + _letters(self._siv.encrypt(value.encode(), None)).decode()

    def reveal(self, token: str) -> str:
        """The value, as text; any number and any uuid is a token of one.

        Raises ValueError for what is no token of this class and target.
        """
        if _NUMBER.fullmatch(token) is not None and -_INT64 <= int(token) < _INT64:
            return str(_permuted(self._integers.revert, int(token), 64))
        try:
            if _UUID.fullmatch(token) is not None:
                return str(UUID(bytes=self._blocks.decrypt(UUID(token).bytes)))
            if _BYTES.fullmatch(token) is not None:
                return "\\x" + self._siv.decrypt(bytes.fromhex(token[2:]), None).hex()
            letters = token.removeprefix(TOKEN_PREFIX)
            if letters != token and _SEALED.fullmatch(letters) is not None:
                return self._siv.decrypt(bytes.fromhex(letters.translate(_DIGITS)), None).decode()
        except InvalidTag:
            raise ValueError("a token of another class, target or key") from None
        raise ValueError("not a token")


class FormatPreserving:
    """FF1 over what is a letter or a digit; what is neither stays where it is."""

    def __init__(self, keys: Keys, data_class: str) -> None:
        key = keys.derive("format-preserving v1", data_class).reveal()
        self._digits = FF1(key, 10)
        self._mixed = Permutation(key)
        self._blocks = _Blocks(keys.derive("format-preserving uuids v1", data_class))

    def change(self, datum: Datum, size: int) -> Callable[[Any], Any] | None:
        """For values of one kind; None: they have no format."""
        match datum:
            case Datum.TEXT:
                return self.text
            case Datum.INTEGER:
                return lambda value: self._integer(value, (1 << size - 1) - 1)
            case Datum.UUID:
                return self._blocks.encrypt
            case _:
                return None

    def text(self, value: str) -> str:
        """Same length, same kinds of characters. Raises ValueError where too few can change, or one is not ASCII."""
        if len(value) > MAX_PARTIAL or not value.isascii():
            raise ValueError("too long, or not ASCII")
        changing = "".join([character for character in value if character.isalnum()])
        changed = iter(self._number(changing) if changing.isdigit() else self._characters(changing))
        if len(changing) == len(value):
            return "".join(changed)
        return "".join([next(changed) if character.isalnum() else character for character in value])

    def _number(self, digits: str) -> str:
        """A card number that is valid stays valid, one that is not does not become so."""
        length = len(digits)
        if not 13 <= length <= 19:
            return f"{self._digits.encrypt(int(digits), length):0{length}}"
        if _check_digit(digits[:-1]) == digits[-1]:
            body = f"{self._digits.encrypt(int(digits[:-1]), length - 1):0{length - 1}}"
            return body + _check_digit(body)
        while True:
            digits = f"{self._digits.encrypt(int(digits), length):0{length}}"
            if _check_digit(digits[:-1]) != digits[-1]:
                return digits

    def _characters(self, value: str) -> str:
        """All texts of this shape are numbered, and the numbers permuted."""
        number, size = 0, 1
        for character in value:
            first, radix = _alphabet(character)
            number = number * radix + ord(character) - first
            size *= radix
        number = self._mixed.apply(number, size)
        out: list[str] = []
        for character in reversed(value):
            first, radix = _alphabet(character)
            number, at = divmod(number, radix)
            out.append(chr(first + at))
        return "".join(reversed(out))

    def _integer(self, value: int, greatest: int) -> int:
        """A number of as many digits, and the same sign."""
        low: int = 10 ** (len(str(abs(value))) - 1)
        high = min(10 * low - 1, greatest)
        changed = low + self._mixed.apply(abs(value) - low, high - low + 1)
        return changed if value > 0 else -changed


def days_shifted(keys: Keys, data_class: str, days: int) -> int:
    """The one number of days, not 0, within ±`days`, of a class at a target."""
    at = int.from_bytes(keys.derive("date-shift v1", data_class).reveal(), "big") % (2 * days)
    return at - days if at < days else at - days + 1


class _Blocks:
    """16 bytes for 16 bytes: one block of AES-256."""

    def __init__(self, key: Secret) -> None:
        cipher = Cipher(algorithms.AES(key.reveal()), modes.ECB())  # noqa: S305 - a single block
        self.encrypt: Callable[[bytes], bytes] = cipher.encryptor().update
        self.decrypt: Callable[[bytes], bytes] = cipher.decryptor().update


def _letters(raw: bytes) -> bytes:
    return raw.hex().encode().translate(_LETTERS)


def _permuted(step: Callable[[int, int], int], value: int, bits: int) -> int:
    """Those of 32 bits among themselves, whatever the type, so that columns of either size join; then all others."""
    if bits < 32:
        raise ValueError("too few values")
    if -_INT32 <= value < _INT32:
        return step(value + _INT32, 2 * _INT32) - _INT32
    rank = value + _INT64 if value < 0 else value + _INT64 - 2 * _INT32
    rank = step(rank, 2 * _INT64 - 2 * _INT32)
    return rank - _INT64 if rank < _INT64 - _INT32 else rank - _INT64 + 2 * _INT32


def _as_uuid(raw: bytes) -> bytes:
    """Version 8 and its variant (RFC 9562, 5.8)."""
    return raw[:6] + bytes((raw[6] & 0x0F | 0x80, raw[7], raw[8] & 0x3F | 0x80)) + raw[9:]


def _alphabet(character: str) -> tuple[int, int]:
    """Its first character's code, and how many there are."""
    if character <= "9":
        return 48, 10
    return (65, 26) if character <= "Z" else (97, 26)


def _check_digit(digits: str) -> str:
    """Luhn's (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 if place % 2 else 2)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)
