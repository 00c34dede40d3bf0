"""A traceparent is one, or nothing."""

import time

import pytest

from ostiary.core.trace import commented, traceparent

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.upper(),
        f"{GOOD}\n",
        f" {GOOD}",
        f"{GOOD}-x",
        GOOD.replace("00-", "ff-", 1),
        GOOD.replace("00-", "01-", 1),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        GOOD.replace("4bf9", "4bg9"),
        GOOD.replace("4bf9", "4b٩9"),
        GOOD[:-1],
        "x" * 1_000_000,
    ],
)
def test_what_is_none(text: str) -> None:
    """Other versions, zeros, capitals, other digits, anything before or behind."""
    assert traceparent(text) == ""
    assert commented(f"SELECT 1 /*traceparent='{text}'*/") == ""


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT 1 /*traceparent='{GOOD}'*/",
        f"SELECT 1 /*traceparent='{GOOD}'*/;\n",
        f"SELECT 1 /*action='%2Fa',traceparent='{GOOD}',tracestate='x%3D1'*/",
        f"SELECT '/*' /* traceparent='{GOOD}' */ ",
    ],
)
def test_comments_of_sqlcommenter(statement: str) -> None:
    """At the end of a statement, alone or among other keys."""
    assert traceparent(GOOD) == GOOD
    assert commented(statement) == GOOD


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT 'traceparent=''{GOOD}'''",
        f"/*traceparent='{GOOD}'*/ SELECT 1",
        f"SELECT 1 /*xtraceparent='{GOOD}'*/",
        f"SELECT 1 /*traceparent={GOOD}*/",
        f"SELECT 1 /*a='traceparent='{GOOD}''*/",
        f"SELECT 1 --traceparent='{GOOD}'",
        f"SELECT 1 /*traceparent='{GOOD}'",
    ],
)
def test_what_only_looks_like_one(statement: str) -> None:
    """Elsewhere, in a literal, under another name, open."""
    assert commented(statement) == ""


def test_hostile_statements_take_no_time() -> None:
    """A megabyte of what a comment is made of."""
    began = time.perf_counter()
    for piece in ("/*", "*/", "/**/", "traceparent='", "*", "/*traceparent='x',", ";", " "):
        commented(piece * (1_000_000 // len(piece)))
        commented(piece * (1_000_000 // len(piece)) + "traceparent")
    assert time.perf_counter() - began < 2.0
