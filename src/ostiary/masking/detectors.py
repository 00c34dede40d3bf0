"""Detectors: what looks like a card, a key or an address in a run of bytes.

Two steps. A candidate is found by RE2, in linear time whatever the input (github.com/google/re2); then it is verified:
checksum, structure, numbering plan. Patterns work on bytes, so they hold for UTF-8 and every charset whose ASCII bytes
mean ASCII only. No pattern crosses a NUL: callers join cells with it and search them all in one pass.
"""

import binascii
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import phonenumbers
import re2
from stdnum import iban, luhn, numdb

from ostiary.masking.model import Detector

#: Candidates examined in one call; more than any honest text of `scan.CHUNK` bytes holds.
MAX_CANDIDATES: Final = 20_000
#: Phone numbers looked up in the numbering plans in one call; later ones count when they are plausible.
MAX_PHONE_LOOKUPS: Final = 100
_MAX_JWT_HEADER: Final = 4096

_OPTIONS: Final = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
_OPTIONS.never_capture = True
_OPTIONS.log_errors = False

_JWT: Final = rb"e[wy][A-Za-z0-9_-]{8,}\."
#: First digits of `_ISSUERS`.
_ISSUED: Final = rb"[2-689]"
#: Twelve digits or more behind the first one, and no letter, digit or fraction before it.
_CARD: Final = rb"(?:\A|[^0-9A-Za-z_.]|(?:\A|[^0-9])\.)" + _ISSUED + rb"(?:[ -]?[0-9]){12,}"
#: What the prefilter looks for: every find contains it, and it says nothing about neighbours, which in a batch's
#: haystack may be lengths and headers of the protocol.
_HINTS: Final = {
    Detector.PRIVATE_KEY: rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY",
    Detector.JWT: _JWT,
    Detector.AWS_SECRET_KEY: rb"[A-Za-z0-9/+]{40}",
    Detector.AWS_ACCESS_KEY: rb"A[KS]IA[A-Z0-9]{16}",
    Detector.IBAN: rb"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11}|[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11}",
    Detector.CARD: _ISSUED + rb"(?:[ -]?[0-9]){12}",
    Detector.EMAIL: rb"[A-Za-z0-9!#$%&'*+/=?^_{|}~.\x80-\xff-]@[A-Za-z0-9\x80-\xff-]+\.[A-Za-z\x80-\xff]"
    rb"|[A-Za-z0-9!#$%&'*+/=?^_{|}~.\x80-\xff-]@[A-Za-z0-9\x80-\xff-]+\.[A-Za-z0-9\x80-\xff-]+\.",
    Detector.PHONE: rb"\+[1-9](?:[ ().\x2f-]{0,3}[0-9]){7}",
}
_CANDIDATES: Final = {
    Detector.PRIVATE_KEY: rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[^\0]*?"
    rb"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\0|\z)",
    Detector.JWT: _JWT + rb"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){1,3}",
    Detector.AWS_SECRET_KEY: rb"[A-Za-z0-9/+]{40,}=?",
    Detector.AWS_ACCESS_KEY: rb"\bA[KS]IA[A-Z0-9]{16}\b",
    Detector.IBAN: rb"\b(?:[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}|[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30})",
    Detector.CARD: _CARD,
    Detector.EMAIL: rb"[A-Za-z0-9!#$%&'*+/=?^_{|}~.\x80-\xff-]+@(?:[A-Za-z0-9\x80-\xff-]+\.)+[A-Za-z\x80-\xff]{2,}",
    Detector.PHONE: rb"\+[1-9](?:[ ().\x2f-]{0,3}[0-9]){7,16}",
}
#: Issuer ranges with their lengths (ISO/IEC 7812; the networks' published ranges).
_ISSUERS: Final = re.compile(
    rb"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    rb"|(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)[0-9]+(?<=^[0-9]{16})"  # Mastercard
    rb"|3[47][0-9]{13}"  # American Express
    rb"|3(?:0[0-5]|[689])[0-9]+(?<=^[0-9]{14})"  # Diners Club
    rb"|(?:6011|64[4-9]|65|62|60|81|82|508|35(?:2[89]|[3-8])|220[0-4]|9792)[0-9]+(?<=^[0-9]{16})"
    rb"|(?:6011|62|35(?:2[89]|[3-8]))[0-9]+(?<=^[0-9]{19})"  # Discover, UnionPay, JCB
    rb"|(?:50(?:18|20|38)|5893|6304|6759|676[1-3])[0-9]{8,15}"  # Maestro
)
_GROUPS: Final = ((4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 2), (4, 4, 4, 4, 1), (4, 6, 5), (4, 6, 4), (4, 4, 4, 1))
_WORD: Final = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_DIGITS: Final = frozenset(b"0123456789")


class TooManyError(Exception):
    """There are more candidates than are examined; the caller masks all of it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A find, as offsets into the bytes."""

    start: int
    end: int
    detector: Detector


class Finder:
    """The detectors of one target."""

    def __init__(self, detectors: Iterable[Detector]) -> None:
        enabled = [detector for detector in Detector if detector in set(detectors)]
        self._hint = re2.compile(b"|".join(b"(?:" + _HINTS[d] + b")" for d in enabled) or rb"[^\x00-\xff]", _OPTIONS)
        near = _HINTS | {Detector.CARD: _CARD}
        self._near = re2.compile(b"|".join(b"(?:" + near[d] + b")" for d in enabled) or rb"[^\x00-\xff]", _OPTIONS)
        self._searches = [(d, re2.compile(_CANDIDATES[d], _OPTIONS), _VERIFY[d]) for d in enabled]

    def may_contain(self, data: bytes) -> bool:
        """False when `find` would find nothing in any piece of `data`. One pass, some 500 MB/s."""
        return self._hint.search(data) is not None

    def may_find(self, data: bytes) -> bool:
        """The same for whole values, NUL between them: neighbours tell numbers from cards, so it is seldom wrong."""
        return self._near.search(data) is not None

    def find(self, data: bytes) -> list[Found]:
        """Finds in order, none overlapping. Raises TooManyError."""
        found: list[Found] = []
        for detector, pattern, verify in self._searches:
            found += (Found(start, end, detector) for start, end in verify(data, _spans(pattern, data)))
        found.sort(key=lambda each: (each.start, -each.end))
        merged: list[Found] = []
        for each in found:
            if not merged or each.start >= merged[-1].end:
                merged.append(each)
            elif each.end > merged[-1].end:
                merged[-1] = Found(merged[-1].start, each.end, merged[-1].detector)
        return merged


Span = tuple[int, int]


def _spans(pattern: "re2._Regexp[bytes]", data: bytes) -> Iterator[Span]:
    for count, match in enumerate(pattern.finditer(data)):
        if count >= MAX_CANDIDATES:
            raise TooManyError
        yield match.span()


def _as_it_is(data: bytes, spans: Iterator[Span]) -> Iterator[Span]:
    del data
    yield from spans


def _private_keys(data: bytes, spans: Iterator[Span]) -> Iterator[Span]:
    for start, end in spans:
        yield start, end - (data[end - 1] == 0)


def _jwts(data: bytes, spans: Iterator[Span]) -> Iterator[Span]:
    """RFC 7519: base64url parts, the first of them a JSON object with `alg`."""
    for start, end in spans:
        header = data[start : data.index(b".", start)]
        if len(header) > _MAX_JWT_HEADER or _is_jose_header(header):
            yield start, end


def _is_jose_header(part: bytes) -> bool:
    try:
        header = json.loads(urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return False
    return isinstance(header, dict) and isinstance(header.get("alg"), str)


def _aws_secrets(data: bytes, spans: Iterator[Span]) -> Iterator[Span]:
    """Forty characters that look drawn at random from base64's alphabet; hex digests and paths do not."""
    for start, end in spans:
        key = data[start:end]
        if len(key) != 40 or key.endswith(b"=") or len(set(key)) < 18:
            continue
        upper, lower = sum(map(_UPPER.__contains__, key)), sum(map(_LOWER.__contains__, key))
        digits = sum(map(_DIGITS.__contains__, key))
        if min(upper, lower) >= 5 and digits:
            yield start, end


_UPPER: Final = frozenset(range(0x41, 0x5B))
_LOWER: Final = frozenset(range(0x61, 0x7B))


@cache
def _iban_length(country: str) -> int:
    """Length of a country's IBAN by the registry python-stdnum carries; 0: it has none."""
    parts = numdb.get("iban").info(country + "0")
    bban = parts[0][1].get("bban", "") if parts else ""
    return 4 + sum(map(int, re.findall(r"([0-9]+)!", bban))) if bban else 0


_IBAN_START: Final = re.compile(rb"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}")


def _ibans(data: bytes, spans: Iterator[Span]) -> Iterator[Span]:
    """ISO 13616. A candidate may run on into other words, or start with some: each start in it is tried."""
    done = seen = 0
    for start, end in spans:
        # What a candidate swallowed of the next one is looked at again: the longest IBAN has 34 characters.
        limit = min(end + 45, len(data))
        for match in _IBAN_START.finditer(data, start, min(end + 3, len(data))):
            if match.start() < done:
                continue
            seen += 1
            if seen > MAX_CANDIDATES:
                raise TooManyError
            stop = _iban_end(data, match.start(), limit)
            if stop:
                yield match.start(), stop
                done = stop


def _iban_end(data: bytes, start: int, limit: int) -> int:
    wanted = _iban_length(data[start : start + 2].decode().upper())
    compact = bytearray()
    at = start
    while wanted and len(compact) < wanted and at < limit:
        if data[at] != 0x20:
            compact.append(data[at])
        at += 1
    if not wanted or len(compact) < wanted or (at < len(data) and data[at] in _WORD):
        return 0
    return at if compact.isalnum() and iban.is_valid(compact.decode()) else 0


_DIGIT_GROUP: Final = re.compile(rb"[0-9]+")


def _cards(data: bytes, spans: Iterator[Span]) -> Iterator[Span]:
    """ISO/IEC 7812: an issuer's range, Luhn's check digit, and groups as they are printed or none."""
    seen = 0
    for start, end in spans:
        groups = [match.span() for match in _DIGIT_GROUP.finditer(data, start, end)]
        done = start
        for index, (first, last) in enumerate(groups):
            seen += 1
            if seen > MAX_CANDIDATES:
                raise TooManyError
            if first < done:
                continue
            size = last - first
            if size > 10:
                stop = last
            elif size == 4:
                stop = _grouped(data, groups, index)
            else:
                continue
            if stop and _stands_alone(data, first, stop) and _is_card(data[first:stop]):
                yield first, stop
                done = stop


def _grouped(data: bytes, groups: list[Span], index: int) -> int:
    sizes = tuple(end - start for start, end in groups[index : index + 5])
    separator = data[groups[index][1] : groups[index][1] + 1]
    for pattern in _GROUPS:
        count = len(pattern)
        if sizes[:count] == pattern and all(
            data[groups[n][1] : groups[n][1] + 1] == separator for n in range(index, index + count - 1)
        ):
            stop = groups[index + count - 1][1]
            if _is_card(data[groups[index][0] : stop]):
                return stop
    return 0


def _is_card(piece: bytes) -> bool:
    digits = piece.translate(None, b" -")
    return _ISSUERS.fullmatch(digits) is not None and luhn.is_valid(digits.decode())


def _stands_alone(data: bytes, start: int, end: int) -> bool:
    """No letter, digit or fraction joins it on either side."""
    if start and (data[start - 1] in _WORD or (data[start - 1] == 0x2E and start > 1 and data[start - 2] in _DIGITS)):
        return False
    if end >= len(data):
        return True
    return not (data[end] in _WORD or (data[end] == 0x2E and data[end + 1 : end + 2].isdigit()))


def _emails(data: bytes, spans: Iterator[Span]) -> Iterator[Span]:
    for start, end in spans:
        # A path or a quote before it is not part of it.
        while data[start] in b"./='{|}":
            start += 1  # noqa: PLW2901 - the span shrinks
        if data[start] != 0x40:
            yield start, end


def _phones(data: bytes, spans: Iterator[Span]) -> Iterator[Span]:
    """International form only (E.164: `+`, country code, up to 15 digits); without the `+` too much looks like it."""
    lookups = MAX_PHONE_LOOKUPS
    for start, end in spans:
        if start and (data[start - 1] in _WORD or data[start - 1] == 0x2B):
            continue
        ends = [match.end() for match in _DIGIT_GROUP.finditer(data, start, end)]
        if end < len(data) and data[end] in _WORD:
            ends.pop()
        # The longest first: what follows may be another number.
        for stop in reversed(ends[-8:]):
            digits = bytes(filter(_DIGITS.__contains__, data[start:stop])).decode()
            if not 8 <= len(digits) <= 15 or not _has_country(digits):
                continue
            lookups -= 1
            if lookups < 0 or _is_phone(digits):
                yield start, stop
                break


def _has_country(digits: str) -> bool:
    return any(int(digits[:size]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE for size in (1, 2, 3))


@lru_cache(maxsize=4096)
def _is_phone(digits: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(f"+{digits}", None))
    except phonenumbers.NumberParseException:
        return False


_VERIFY: Final[dict[Detector, Callable[[bytes, Iterator[Span]], Iterator[Span]]]] = {
    Detector.PRIVATE_KEY: _private_keys,
    Detector.JWT: _jwts,
    Detector.AWS_SECRET_KEY: _aws_secrets,
    Detector.AWS_ACCESS_KEY: _as_it_is,
    Detector.IBAN: _ibans,
    Detector.CARD: _cards,
    Detector.EMAIL: _emails,
    Detector.PHONE: _phones,
}
