"""The lexical template: equal templates are equal statements but for the values of constants."""

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ostiary.sql import Analysis, UnparsableError, template
from ostiary.sql.analyze import fresh
from tests.protocols.postgres.test_corpus import CASES, texts

TEMPLATES = sorted({t for case in CASES for text in texts(case) if (t := template(text)) is not None})
STRINGS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="'\\\"$"), max_size=8).filter(
    lambda text: "--" not in text and "/*" not in text
)
INTEGERS = st.integers(0, 999_999_999).map(str)


def fill(shape: str, data: st.DataObject) -> str:
    """A text of the template, with other constants."""
    with_strings = re.sub("§", lambda _: "'" + data.draw(STRINGS) + "'", shape)
    return re.sub("№", lambda _: data.draw(INTEGERS), with_strings)


def outcome(text: str) -> Analysis | None:
    """What a fresh analysis says; None when it refuses."""
    try:
        return fresh(text)
    except UnparsableError:
        return None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", "SELECT №"),
        ("SELECT 'a', 'b'", "SELECT §, §"),
        ("SELECT a1 FROM t2 WHERE x=-5", "SELECT a1 FROM t2 WHERE x=-№"),
        ("SELECT 1.5, 1e5, 0x1F, 1_000", "SELECT 1.5, 1e5, 0x1F, 1_000"),
        ("SELECT 1234567890", "SELECT 1234567890"),
        ("SELECT a[1:2]", "SELECT a[№:№]"),
        ("SELECT E'a'", None),
        ("SELECT e'a' , 'b'", None),
        ("SELECT U&'a'", None),
        ("SELECT N'a'", None),
        ("SELECT X'1F'", None),
        ("SELECT 'a", None),
        ("SELECT $1", None),
        ("SELECT $$a$$", None),
        ('SELECT "a"', None),
        ("SELECT 1 -- a", None),
        ("SELECT 1 /* a */", None),
        (r"SELECT '\'", None),
        ("SELECT 'é'", None),
        ("SELECT '§'", None),
    ],
)
def test_template(text: str, expected: str | None) -> None:
    """Free-standing integers and plain strings go; a text where they could mean something else has no template."""
    assert template(text) == expected


@given(st.sampled_from(TEMPLATES), st.data())
def test_constants_have_no_say(shape: str, data: st.DataObject) -> None:
    """Statements of one template have one analysis, unless it says that constants decided."""
    first, second = fill(shape, data), fill(shape, data)
    assume(template(first) == template(second) == shape)
    one, other = outcome(first), outcome(second)
    if one is None or other is None or not one.by_template or not other.by_template:
        # DO blocks and settings: refused or told apart by their constants, and kept by text only.
        assert one is None or other is None or not (one.by_template or other.by_template)
        assume(one is not None and other is not None)
        return
    assert one == other


PIECES = st.sampled_from(
    [
        "'",
        "''",
        "E'",
        "U&'",
        "1",
        "22",
        " ",
        ",",
        "a",
        "b1",
        "(",
        ")",
        "+",
        "-",
        ".",
        "=",
        "::int",
        "\n",
        " SELECT ",
        "x",
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join), st.data())
@example("'' E'a' '' ", None)
def test_any_text(tail: str, data: st.DataObject | None) -> None:
    """Whatever quotes and digits stand next to, the rule holds: both parse to the same, or both do not parse."""
    text = f"SELECT {tail}"
    shape = template(text)
    if shape is None or data is None:
        return
    other = fill(shape, data)
    assume(template(other) == shape)
    assert outcome(text) == outcome(other)
