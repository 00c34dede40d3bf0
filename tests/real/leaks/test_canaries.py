"""The search itself: what it must find, and what it must not."""

import base64
import codecs

import pytest

from tests.real.drivers.wire import message
from tests.real.leaks.canaries import SHIFT, Finder, word
from tests.real.leaks.schema import ROWS, finder

VALUE = word(1)
PIECE = VALUE[4:11]


def row(*cells: bytes) -> bytes:
    """A DataRow."""
    return message(b"D", len(cells).to_bytes(2, "big") + b"".join(len(c).to_bytes(4, "big") + c for c in cells))


SHOWN: dict[str, list[bytes]] = {
    "a piece": [row(PIECE.encode())],
    "case": [row(PIECE.swapcase().encode())],
    "backwards": [row(PIECE[::-1].encode())],
    "hex": [row(PIECE.encode().hex().encode())],
    "escaped hex": [row("".join(f"\\x{ord(c):02x}" for c in PIECE).encode())],
    "Unicode escapes": [row("".join(f"\\u{ord(c):04x}" for c in PIECE).encode())],
    "percent": [row("".join(f"%{ord(c):02X}" for c in PIECE).encode())],
    "entities": [row("".join(f"&#{ord(c)};" for c in PIECE).encode())],
    "hex entities": [row("".join(f"&#x{ord(c):x};" for c in PIECE).encode())],
    "octal": [row("".join(f"\\{ord(c):03o}" for c in PIECE).encode())],
    "UTF-16": [row(PIECE.encode("utf-16-le"))],
    "codes": [row(" ".join(str(ord(c)) for c in PIECE).encode())],
    "bits": [row("".join(f"{ord(c):08b}" for c in PIECE).encode())],
    "rot13": [row(codecs.encode(PIECE, "rot13").encode())],
    "shifted": [row(PIECE.translate(SHIFT).encode())],
    "a letter a row": [row(c.encode()) for c in PIECE],
    "a numbered letter a row": [row(str(at).encode(), c.encode()) for at, c in enumerate(PIECE)],
    "a numbered code a row": [row(str(at).encode(), str(ord(c)).encode()) for at, c in enumerate(PIECE)],
    "a letter a column": [row(*(c.encode() for c in PIECE))],
    "letters with something between": [row(" - ".join(PIECE).encode())],
    "an error": [message(b"E", b"Minvalid: " + PIECE.encode() + b"\0\0")],
    "copied": [message(b"d", PIECE[:3].encode() + b"\n"), message(b"d", PIECE[3:].encode() + b"\n")],
    **{f"base64, {before} before": [row(base64.b64encode(b"x" * before + VALUE.encode()))] for before in range(3)},
}


@pytest.mark.parametrize("name", SHOWN)
def test_found(name: str) -> None:
    """In this disguise."""
    assert Finder([VALUE], []).find(SHOWN[name]) == {VALUE}


def test_not_found() -> None:
    """Five letters are no piece, and nothing else is one."""
    assert not Finder([VALUE], []).find(
        [row(VALUE[:5].encode(), b"[redacted]", b"plan 1"), message(b"C", b"SELECT 1\0")]
    )


def test_values_of_other_types() -> None:
    """Text and binary, neighbours of a number too."""
    one = ROWS[0]
    search = finder()
    for shown in (
        str(one.pin).encode(),
        str(one.pin + 1).encode(),
        one.pin.to_bytes(4, "big"),
        f"{one.ssn:x}".encode(),
        one.ref.bytes,
        str(one.ref).encode(),
        one.octets,
        one.born.encode(),
        one.pay.encode(),
        one.flags.encode(),
    ):
        assert search.find([row(shown)]), shown
