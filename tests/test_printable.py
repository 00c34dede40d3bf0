"""Hostile text is shown and does nothing."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.core import printable, printable_lines


@given(st.text() | st.text(st.characters(categories=["C", "Z", "M"])))
def test_only_characters_that_draw_come_out(text: str) -> None:
    """No control, format, surrogate, unassigned or separating character but the space, whatever goes in."""
    shown = printable(text)
    assert shown.isprintable()
    assert not [char for char in shown if unicodedata.category(char)[0] in "CZ" and char != " "]
    assert printable(shown) == shown


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"])) | st.sampled_from(["Grüße 你好", "न्द्र", "é"])
)
def test_plain_text_stays(text: str) -> None:
    """Letters of any script, backslashes included, are not touched."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("a\u00a0b\u3000", r"a\xa0b\u3000"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("\ue000", r"\ue000"),
        ("a\u3164\u2800\uffa0\u115f", r"a\u3164\u2800\uffa0\u115f"),
        ("\u034f\ufe0f\U000e0100\u180b", r"\u034f\ufe0f\U000e0100\u180b"),
        ("\U0001d159\U00016fe4\U00013441", r"\U0001d159\U00016fe4\U00013441"),
        ("\\x1b", "\\x1b"),
    ],
)
def test_hostile_characters_are_named(text: str, shown: str) -> None:
    """As Python writes them."""
    assert printable(text) == shown


def test_marks_are_not_heaped() -> None:
    """Three on a letter, the others by name; the next letter has three again."""
    assert printable("a" + "\u0301" * 5 + "b\u0301") == "a" + "\u0301" * 3 + "\\u0301" * 2 + "b\u0301"


def test_lines_are_split_at_newlines_alone() -> None:
    """A statement keeps its layout, and no other character makes a line."""
    assert printable_lines("SELECT\r\n\t1 \u2028\x0b\x85\r2\n") == ("SELECT", "    1 \\u2028\\x0b\\x85\\r2", "")


@given(st.text())
def test_lines_are_each_printable(text: str) -> None:
    """As many as there are newlines, and one more."""
    lines = printable_lines(text)
    assert len(lines) == text.count("\n") + 1
    assert all(line.isprintable() for line in lines)
