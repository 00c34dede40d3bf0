"""One record as the bytes of a line: what every statement pays for, so it is compiled where there is a compiler."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from ostiary.recording.format import KINDS, MAX_LINE, MAX_TEXT, Body, Cut, RecordingFailed

#: Bytes of each value, tried in turn on a record with many long ones (65,535 bind values, say), until its line fits.
_VALUE_LIMITS: Final = (MAX_TEXT, 4096, 256, 16)
#: The fields they are in. Other texts keep their 64 KiB: else whoever sends enough values could choose how little of
#: the statement is kept.
_VALUES: Final = frozenset({"parameters", "rows"})


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a record can't hold a {type(value).__name__}")


_encode: Final = msgspec.json.Encoder(enc_hook=_plain).encode


def content(seq: int, time: float, body: Body) -> bytes:
    """The part of a line that is hashed. Raises RecordingFailed when the record can't be written in any length."""
    try:
        encoded = _encode(body)
    except UnicodeEncodeError:
        raise RecordingFailed(f"a record of kind {KINDS[type(body)]} holds text that is not Unicode") from None
    tail = b""
    if len(encoded) > MAX_TEXT:
        encoded, tail = _fit(body)
    seconds, micros = divmod(round(time * 1_000_000), 1_000_000)
    # Six digits whatever they are; a format specification takes five times as long.
    fraction = str(1_000_000 + micros)[1:]
    head = f'{{"v":1,"seq":{seq},"time":{seconds}.{fraction},"kind":"{KINDS[type(body)]}","body":'
    return head.encode() + encoded + tail


def _fit(body: Body) -> tuple[bytes, bytes]:
    for limit in _VALUE_LIMITS:
        cuts: list[Cut] = []
        limits = {f.name: limit if f.name in _VALUES else MAX_TEXT for f in dataclasses.fields(body)}
        if sum(_at_least(getattr(body, name), most) for name, most in limits.items()) > MAX_LINE:
            continue
        fields = {name: _shorten(getattr(body, name), name, most, cuts) for name, most in limits.items()}
        encoded = _encode(fields)
        tail = b',"cut":%b' % _encode(cuts) if cuts else b""
        if len(encoded) + len(tail) < MAX_LINE - 1024:
            return encoded, tail
    raise RecordingFailed(f"a record of kind {KINDS[type(body)]} is too large to be recorded, whatever is cut")


def _at_least(value: object, limit: int) -> int:
    """Characters that the shortened value takes at least: spares the work for a limit under which it can't fit."""
    match value:
        case str():
            return min(len(value), limit)
        case tuple():
            return sum(_at_least(item, limit) for item in value)
        case _:
            return 0


def _shorten(value: object, at: str, limit: int, cuts: list[Cut]) -> object:
    match value:
        case str():
            raw = value.encode()
            if len(raw) <= limit:
                return value
            cuts.append(Cut(at, len(raw), hashlib.sha256(raw).hexdigest()))
            return raw[:limit].decode(errors="ignore")  # drops at most the half of a character at the end
        case tuple():
            return tuple(_shorten(item, f"{at}.{index}", limit, cuts) for index, item in enumerate(value))
        case Mapping():
            return {key: _shorten(item, f"{at}.{key}", limit, cuts) for key, item in value.items()}
        case _:
            return value
