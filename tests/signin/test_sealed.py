"""What a browser keeps for us, and where it may be sent afterwards."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from ostiary.signin.sealed import MAX_THEN, Seal, is_own_path
from ostiary.signin.ways import Pending

PENDING = Pending.begun("corp", 1_800_000_000.0)


def test_it_comes_back() -> None:
    """As it was, never twice in the same form, within what a cookie holds, and unreadable."""
    seal = Seal(bytes(32))
    closed = seal.close(PENDING, "/" + "x" * (MAX_THEN - 1))
    assert seal.open(closed) == (PENDING, "/" + "x" * (MAX_THEN - 1))
    assert closed != seal.close(PENDING, "/")
    assert len(closed) < 3500
    for value in (PENDING.state, PENDING.nonce, PENDING.verifier, PENDING.request_id):
        assert value.encode() not in urlsafe_b64decode(closed)


def test_nothing_else_does() -> None:
    """Changed anywhere, cut, of another key, or no such thing."""
    seal = Seal(bytes(32))
    data = bytearray(urlsafe_b64decode(seal.close(PENDING, "/")))
    for index in range(0, len(data), 7):
        changed = bytearray(data)
        changed[index] ^= 1
        assert seal.open(urlsafe_b64encode(changed).decode()) is None
    for text in ("", "A", "é", "AAAA" * 8, urlsafe_b64encode(data[:-1]).decode()):
        assert seal.open(text) is None
    assert Seal(b"1" * 32).open(urlsafe_b64encode(data).decode()) is None


@pytest.mark.parametrize("then", ["/", "/login", "/oauth/authorize?a=b%20c&d=//e", "/" + "x" * (MAX_THEN - 1)])
def test_own_paths(then: str) -> None:
    """At this gateway."""
    assert is_own_path(then)


@pytest.mark.parametrize(
    "then",
    [
        *("", "login", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)"),
        *("/a b", "/a\n", "/\t/x", "/é", "/" + "x" * MAX_THEN),
    ],
)
def test_paths_that_lead_elsewhere(then: str) -> None:
    """Or that two browsers read differently."""
    assert not is_own_path(then)
