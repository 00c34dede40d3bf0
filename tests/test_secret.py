"""Secrets stay hidden."""

import pickle

import pytest

from ostiary.core import Secret


def test_secret_shows_itself_nowhere() -> None:
    """Neither repr, str, format nor an f-string gives the value away."""
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret!r}{secret!s}{secret}{secret:>20}"


def test_secret_is_neither_hashed_nor_pickled() -> None:
    """It can't become a cache key or cross a process by accident."""
    with pytest.raises(TypeError, match="not hashable"):
        hash(Secret("x"))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("x"))


def test_reveal_text_error_has_no_value() -> None:
    """The error about bad UTF-8 does not quote the bytes."""
    with pytest.raises(ValueError, match=r"not UTF-8 text$"):
        Secret(b"\xff\xfe").reveal_text()
