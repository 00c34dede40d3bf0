"""What the detectors find, and what only looks like it."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.core import Secret
from ostiary.masking import Detection, Detector, Transform
from ostiary.masking.detectors import MAX_CANDIDATES, Finder, TooManyError
from ostiary.masking.scan import Scanner
from ostiary.masking.transforms import Transforms

ALL = Finder(Detector)
SCANNER = Scanner(Detection(), Transforms("orders", Secret(b"k" * 32)))
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl-_"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\n-----END EC PRIVATE KEY-----"
SPACED_IBAN = "DE89 3704 0044 0532 0130 00"
AWS = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("detector", "text", "hits"),
    [
        (Detector.CARD, "4111111111111111", ["4111111111111111"]),
        (Detector.CARD, "pay 4111 1111 1111 1111, now", ["4111 1111 1111 1111"]),
        (Detector.CARD, "5555-5555-5555-4444.", ["5555-5555-5555-4444"]),
        (Detector.CARD, "3782 822463 10005", ["3782 822463 10005"]),
        (Detector.CARD, "6011000990139424/30569309025904", ["6011000990139424", "30569309025904"]),
        (Detector.CARD, "1234 4111 1111 1111 1111", ["4111 1111 1111 1111"]),
        (Detector.CARD, "2223003122003222", ["2223003122003222"]),
        (Detector.CARD, "4222222222222", ["4222222222222"]),
        (Detector.IBAN, "DE89370400440532013000", ["DE89370400440532013000"]),
        (Detector.IBAN, "to GB29 NWBK 6016 1331 9268 19 AND MORE", ["GB29 NWBK 6016 1331 9268 19"]),
        (Detector.IBAN, "AB12 DE89 3704 0044 0532 0130 00 NO9386011117947", [SPACED_IBAN, "NO9386011117947"]),
        (Detector.IBAN, "DE89370400440532013000 NO9386011117947", ["DE89370400440532013000", "NO9386011117947"]),
        (Detector.IBAN, "AB12 " + "ABC " * 9 + SPACED_IBAN, [SPACED_IBAN]),
        (Detector.IBAN, "de89370400440532013000", ["de89370400440532013000"]),
        (Detector.EMAIL, "mail ada@example.com.", ["ada@example.com"]),
        (Detector.EMAIL, "<o'neil+x@mail.example.co.uk>", ["o'neil+x@mail.example.co.uk"]),
        (Detector.EMAIL, "müller@bücher.example", ["müller@bücher.example"]),
        (Detector.EMAIL, "a@b.co,c@d.org", ["a@b.co", "c@d.org"]),
        (Detector.JWT, f"Bearer {JWT}", [JWT]),
        (Detector.AWS_ACCESS_KEY, "key=AKIAIOSFODNN7EXAMPLE;", ["AKIAIOSFODNN7EXAMPLE"]),
        (Detector.AWS_ACCESS_KEY, "ASIAIOSFODNN7EXAMPLE", ["ASIAIOSFODNN7EXAMPLE"]),
        (Detector.AWS_SECRET_KEY, f"aws_secret_access_key = {AWS}", [AWS]),
        (Detector.PRIVATE_KEY, f"x\n{PEM}\ny", [PEM]),
        (Detector.PRIVATE_KEY, "-----BEGIN PRIVATE KEY-----\nMHcC cut", ["-----BEGIN PRIVATE KEY-----\nMHcC cut"]),
        (Detector.PRIVATE_KEY, "-----BEGIN OPENSSH PRIVATE KEY-----\nb3", ["-----BEGIN OPENSSH PRIVATE KEY-----\nb3"]),
        (Detector.PHONE, "call +49 30 901820 now", ["+49 30 901820"]),
        (Detector.PHONE, "+1 (650) 253-0000", ["+1 (650) 253-0000"]),
        (Detector.PHONE, "tel:+442079460018", ["+442079460018"]),
        (Detector.PHONE, "+1 650 253 0000 2024-01-01 x", ["+1 650 253 0000"]),
    ],
)  # fmt: skip
def test_found(detector: Detector, text: str, hits: list[str]) -> None:
    """Each detector finds its kind, alone and among the others, and no more than it."""
    data = text.encode()
    assert [data[f.start : f.end].decode() for f in Finder([detector]).find(data)] == hits
    assert [data[f.start : f.end].decode() for f in ALL.find(data) if f.detector is detector] == hits
    assert ALL.may_contain(data)


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # Luhn
        "1234567812345670",  # Luhn holds, no issuer
        "0.4111111111111111",
        "4111111111111111.5",
        "A4111111111111111",
        "411111111111111112345678",
        "order 2026110300012345",
        "1730635200000",  # milliseconds
        "1730635200000000000",  # nanoseconds
        "1764000000000000",
        "2026-11-03 12:11:10.123456+00:00",
        "2026-11-03T12:11:10+0100",
        "3f2b0a3c-1b2c-4d5e-8f90-a1b2c3d4e5f6",
        "41111111-1111-1111-1111-111111111111",
        "12345678-1234-1234-1234-123456789012",
        "2019 2020 2021 2022",
        "DE88370400440532013000",  # checksum
        "XX89370400440532013000",  # no such country
        "DE89370400440532013000X",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",  # SHA-1
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",  # SHA-256
        "ada@localhost",
        "@ada said",
        "react@18.2.0",
        "a @ b.com",
        "eyJhbGciOiJIUzI1NiJ9",  # no parts
        "ewogICJ4IjoxfQ.eyJzdWIiOiIxMjM0In0.c2ln",  # no alg
        "example.com.some.name.eyJ",
        "AKIAIOSFODNN7EXAMPL",
        "XAKIAIOSFODNN7EXAMPLEX",
        "/usr/share/doc/python3/examples/tutorial",
        "Aa0/" * 10,
        AWS + "abcd",
        AWS[:-1] + "=",
        "4111-1111 1111-1111",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "-----BEGIN CERTIFICATE-----\nMIIB",
        "-----BEGIN PUBLIC KEY-----\nMIIB",
        "2+49309018201",
        "+999123456789",  # no such country
        "+1 000 000 0000",
        "030 901820",
        "SELECT * FROM orders WHERE total > 100 AND id = 12345",
    ],
)
def test_not_found(text: str) -> None:
    """Order numbers, times, digests and identifiers are left alone."""
    assert ALL.find(text.encode()) == []


def test_finds_that_overlap_are_masked_together() -> None:
    """No part of the second stays behind when the first ends inside it."""
    assert SCANNER.text(b"+49 30 901820@example.com") == (b"+***@e***.com", "phone detector: partial")


FRAGMENTS = st.sampled_from(
    ["4111 1111 1111 1111", "DE89370400440532013000", "ada@example.com", JWT, AWS, "AKIAIOSFODNN7EXAMPLE", PEM,
     "+4930901820", " ", "\0", "x", "-", "4", "@", "é", ".", "AB12", "+"]
)  # fmt: skip


@given(st.lists(FRAGMENTS, max_size=12).map("".join) | st.text(max_size=200))
def test_the_prefilter_misses_nothing(text: str) -> None:
    """Whatever `find` finds, the prefilter sees, also when a protocol's bytes stand around it."""
    data = text.encode()
    found = ALL.find(data)
    assert all(a.end <= b.start for a, b in pairwise(found))
    for each in found:
        piece = data[each.start : each.end]
        assert ALL.may_contain(piece)
        assert ALL.may_contain(b"4@A+" + piece + b"9z.A")


@given(st.lists(FRAGMENTS, max_size=12).map(" ".join))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    """What a detector leaves behind is no find itself."""
    once, _ = SCANNER.text(text.encode())
    assert SCANNER.text(once) == (once, "")


@pytest.mark.parametrize(
    "hostile",
    [b"4111 " * 200_000, b"DE12 " * 200_000, b"a@" * 500_000, b"+49 30 9018200 " * 60_000, b"eyJhbGciOi." * 90_000,
     b"-----BEGIN PRIVATE KEY-----" * 40_000, b"1 " * 500_000, b"Aa0/" * 250_000, b"a@b.c" * 200_000],
    ids=["cards", "ibans", "ats", "phones", "jwts", "keys", "digits", "base64", "mails"],
)  # fmt: skip
def test_hostile_text_costs_a_bounded_effort(hostile: bytes) -> None:
    """A megabyte made to look like finds takes linear time, or is given up and masked whole."""
    started = time.process_time()
    got, _ = SCANNER.text(hostile)
    assert time.process_time() - started < 3
    assert len(got) <= len(hostile)


def test_too_many_candidates_are_given_up() -> None:
    """Beyond the bound nothing is examined any more, and the caller hears of it."""
    text = b"a@b.co " * (MAX_CANDIDATES + 1)
    with pytest.raises(TooManyError):
        ALL.find(text)
    assert SCANNER.text(text) == (b"[redacted]", "detectors: redact")


@pytest.mark.parametrize(
    ("transforms", "text", "shown"),
    [
        ({Detector.EMAIL: Transform.REDACT}, "x ada@example.com 4111111111111111", "x [redacted] 4111111111111111"),
        ({Detector.CARD: Transform.PARTIAL}, "x 4111 1111 1111 1111 y", "x ************1111 y"),
        ({Detector.JWT: Transform.PARTIAL}, f"x {JWT}", "x [redacted]"),
        ({Detector.EMAIL: Transform.KEEP}, "ada@example.com", "ada@example.com"),
        ({}, f"{PEM} ada@example.com", f"{PEM} ada@example.com"),
    ],
)
def test_each_detector_has_its_transform(transforms: dict[Detector, Transform], text: str, shown: str) -> None:
    """A detector does what it is told, keys are never shown in part, and what is not listed is off."""
    scanner = Scanner(Detection(transforms), Transforms("orders", None))
    assert scanner.text(text.encode())[0].decode() == shown
