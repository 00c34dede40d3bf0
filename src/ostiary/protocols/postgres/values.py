"""Values of PostgreSQL's built-in types, from cells and back, in text and binary format (`core.ValueCodec`).

Here are the types that masking has a use for. Whatever else there is (bool, time, interval, json, ranges, composites,
types of extensions) has no codec, and is replaced by null alone.
"""

import math
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any, Final

from ostiary.core import Datum, ValueCodec
from ostiary.protocols.postgres.arrays import binary_array, text_array
from ostiary.protocols.postgres.moments import DATE, DATE_BINARY, TIMESTAMP, TIMESTAMP_BINARY, TIMESTAMPTZ

#: Longest text of a number or a date: numeric alone can be longer, up to 131,072 digits.
_MAX_NUMBER: Final = 512
_INTEGER = re.compile(rb"-?\d{1,19}")
#: An exponent of numeric's, which the server never writes, could stand for a gigabyte of zeros.
_DECIMAL = re.compile(rb"-?\d+(\.\d+)?")
_FLOAT = re.compile(rb"-?\d+(\.\d+)?(e[+-]?\d+)?")
_NBASE: Final = 10000


# ------------------------------------------------------------ numbers


def _integer_text(cell: bytes) -> int:
    if _INTEGER.fullmatch(cell) is None:
        raise ValueError("not an integer")
    return int(cell)


def _integer(bits: int) -> ValueCodec:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def encode(value: int) -> bytes:
        if not low <= value <= high:
            raise ValueError("out of range")
        return b"%d" % value

    return ValueCodec(Datum.INTEGER, _integer_text, encode, bits)


def _packed(datum: Datum, form: str, size: int = 0) -> ValueCodec:
    packer = struct.Struct(form)

    def decode(cell: bytes) -> Any:
        if len(cell) != packer.size:
            raise ValueError("of another size than its type")
        (value,) = packer.unpack(cell)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("not a finite number")
        return value

    def encode(value: Any) -> bytes:
        try:
            return packer.pack(value)
        except struct.error as error:
            raise ValueError(str(error)) from None

    return ValueCodec(datum, decode, encode, size)


def _number_text(cell: bytes, form: "re.Pattern[bytes]") -> str:
    if len(cell) > _MAX_NUMBER or form.fullmatch(cell) is None:
        raise ValueError("not a finite number")
    return cell.decode("ascii")


def _decimal_text(cell: bytes) -> Decimal:
    return Decimal(_number_text(cell, _DECIMAL))


def _decimal_to_text(value: Decimal) -> bytes:
    return format(value, "f").encode("ascii")


def _decimal_binary(cell: bytes) -> Decimal:
    """numeric_send: number of digits in base 10,000, weight of the first, sign, scale to show, digits."""
    if not 8 <= len(cell) <= _MAX_NUMBER:
        raise ValueError("too long")
    count, weight, sign, scale = struct.unpack_from("!HhHH", cell)
    if len(cell) != 8 + 2 * count or sign not in (0, 0x4000):
        raise ValueError("not a finite number")
    digits = "".join([f"{digit:04d}" for digit in struct.unpack_from(f"!{count}H", cell, 8)])
    if abs(weight) > _MAX_NUMBER or scale > _MAX_NUMBER or len(digits) != 4 * count:
        raise ValueError("too long")
    # Digits behind the scale are zeros that fill the last group. Arithmetic would round to the context's precision.
    point = 4 * (weight + 1)
    digits = "0" * -point + digits.ljust(point, "0")
    whole, fraction = digits[: max(point, 0)] or "0", digits[max(point, 0) :]
    return Decimal(f"{'-' if sign else ''}{whole}.{fraction[:scale].ljust(scale, '0')}")


def _decimal_to_binary(value: Decimal) -> bytes:
    text = format(value.copy_abs(), "f")
    whole, _, fraction = text.partition(".")
    digits = whole.zfill(-(-len(whole) // 4) * 4) + fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    groups = [int(digits[at : at + 4]) for at in range(0, len(digits), 4)]
    weight = -(-len(whole) // 4) - 1
    while groups and not groups[0]:
        del groups[0]
        weight -= 1
    while groups and not groups[-1]:
        del groups[-1]
    header = struct.pack("!HhHH", len(groups), weight if groups else 0, 0x4000 if value < 0 else 0, len(fraction))
    return header + struct.pack(f"!{len(groups)}H", *groups)


def _float_text(cell: bytes) -> float:
    value = float(_number_text(cell, _FLOAT))
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def _float_to_text(value: float) -> bytes:
    return repr(value).removesuffix(".0").encode("ascii")


# ------------------------------------------------------------ other scalars


def _uuid_text(cell: bytes) -> bytes:
    if len(cell) != 36:
        raise ValueError("not a uuid")
    return bytes.fromhex(cell.replace(b"-", b"").decode("ascii"))


def _uuid_to_text(value: bytes) -> bytes:
    shown = value.hex()
    return f"{shown[:8]}-{shown[8:12]}-{shown[12:16]}-{shown[16:20]}-{shown[20:]}".encode("ascii")


def _uuid_binary(cell: bytes) -> bytes:
    if len(cell) != 16:
        raise ValueError("not a uuid")
    return cell


def _itself(value: bytes) -> bytes:
    return value


def _bytes_text(cell: bytes) -> bytes:
    if not cell.startswith(b"\\x"):
        raise ValueError("not in hex")
    return bytes.fromhex(cell[2:].decode("ascii"))


def _bytes_to_text(value: bytes) -> bytes:
    return b"\\x" + value.hex().encode("ascii")


def _address_text(cell: bytes) -> tuple[bytes, int]:
    shown, _, bits = cell.decode("ascii").partition("/")
    packed = IPv6Address(shown).packed if ":" in shown else bytes(map(int, shown.split(".")))
    prefix = int(bits) if bits else 8 * len(packed)
    if len(packed) not in (4, 16) or not 0 <= prefix <= 8 * len(packed):
        raise ValueError("not an address")
    return packed, prefix


def _inet_to_text(value: tuple[bytes, int]) -> bytes:
    packed, prefix = value
    shown = ".".join(map(str, packed)) if len(packed) == 4 else str(IPv6Address(packed))
    return (shown if prefix == 8 * len(packed) else f"{shown}/{prefix}").encode("ascii")


def _cidr_to_text(value: tuple[bytes, int]) -> bytes:
    shown = _inet_to_text(value)
    return shown if b"/" in shown else b"%s/%d" % (shown, value[1])


def _address_binary(cell: bytes) -> tuple[bytes, int]:
    """inet_send: family (2 or 3), bits, is_cidr, bytes of the address, and those."""
    if len(cell) not in (8, 20) or cell[3] != len(cell) - 4 or cell[1] > 8 * cell[3]:
        raise ValueError("not an address")
    return cell[4:], cell[1]


def _address_to_binary(*, cidr: bool) -> Callable[[tuple[bytes, int]], bytes]:
    def encode(value: tuple[bytes, int]) -> bytes:
        packed, prefix = value
        return bytes((2 if len(packed) == 4 else 3, prefix, cidr, len(packed))) + packed

    return encode


def _text(size: int = 0, *, padded: bool = False) -> ValueCodec:
    def decode(cell: bytes) -> str:
        return cell.decode().rstrip(" ") if padded else cell.decode()

    def encode(value: str) -> bytes:
        if size and len(value) > size:
            raise ValueError("too long")
        return (value.ljust(size) if padded else value).encode()

    return ValueCodec(Datum.TEXT, decode, encode, size)


# ------------------------------------------------------------ by type

_CHAR, _NAME, _BPCHAR, _VARCHAR, _UNBOUNDED = 18, 19, 1042, 1043, (25, 705)
_TEXT_FORMAT: Final = {
    20: _integer(64),
    21: _integer(16),
    23: _integer(32),
    700: ValueCodec(Datum.FLOAT, _float_text, _float_to_text),
    701: ValueCodec(Datum.FLOAT, _float_text, _float_to_text),
    1700: ValueCodec(Datum.DECIMAL, _decimal_text, _decimal_to_text),
    1082: DATE,
    1114: TIMESTAMP,
    1184: TIMESTAMPTZ,
    2950: ValueCodec(Datum.UUID, _uuid_text, _uuid_to_text),
    869: ValueCodec(Datum.ADDRESS, _address_text, _inet_to_text),
    650: ValueCodec(Datum.ADDRESS, _address_text, _cidr_to_text),
    17: ValueCodec(Datum.BYTES, _bytes_text, _bytes_to_text),
}
_BINARY_FORMAT: Final = {
    20: _packed(Datum.INTEGER, "!q", 64),
    21: _packed(Datum.INTEGER, "!h", 16),
    23: _packed(Datum.INTEGER, "!i", 32),
    700: _packed(Datum.FLOAT, "!f"),
    701: _packed(Datum.FLOAT, "!d"),
    1700: ValueCodec(Datum.DECIMAL, _decimal_binary, _decimal_to_binary),
    1082: DATE_BINARY,
    1114: TIMESTAMP_BINARY,
    1184: TIMESTAMP_BINARY,
    2950: ValueCodec(Datum.UUID, _uuid_binary, _itself),
    869: ValueCodec(Datum.ADDRESS, _address_binary, _address_to_binary(cidr=False)),
    650: ValueCodec(Datum.ADDRESS, _address_binary, _address_to_binary(cidr=True)),
    17: ValueCodec(Datum.BYTES, _itself, _itself),
}
#: Array type → type of its elements (pg_type.dat).
_ARRAYS: Final = {
    1001: 17, 1002: 18, 1003: 19, 1005: 21, 1007: 23, 1009: 25, 1014: 1042, 1015: 1043, 1016: 20, 1021: 700,
    1022: 701, 1231: 1700, 1182: 1082, 1115: 1114, 1185: 1184, 2951: 2950, 1041: 869, 651: 650,
}  # fmt: skip


@lru_cache(maxsize=1024)
def codec_of(oid: int, modifier: int, binary: int) -> ValueCodec | None:
    """The codec of a type (oid and modifier as in RowDescription) in one format; None: it has none.

    Texts without a bound to their length need none, but as elements of arrays.
    """
    element = _ARRAYS.get(oid)
    if element is None:
        return None if oid in _UNBOUNDED or (oid == _VARCHAR and modifier < 0) else _scalar(oid, modifier, binary)
    scalar = _scalar(element, modifier, binary)
    if scalar is None:
        return None
    return binary_array(scalar, element) if binary else text_array(scalar)


def _scalar(oid: int, modifier: int, binary: int) -> ValueCodec | None:
    # The modifier of these two is the length and four.
    size = max(modifier - 4, 0)
    match oid:
        case 18:
            return _text(1)
        case 19:
            return _text(63)
        case 1042:
            return _text(size, padded=True)
        case 1043:
            return _text(size)
        case 25 | 705:
            return _text()
        case _:
            return (_BINARY_FORMAT if binary else _TEXT_FORMAT).get(oid)
