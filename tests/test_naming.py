"""Names: what is written has one reading, and only what is written is read."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.core import naming

HOSTILE = st.text(st.sampled_from('ab./"?* \n\0é\u0435'), max_size=6)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("public", "customers", "email"), "public.customers.email"),
        (("public.customers", "x"), '"public.customers".x'),
        (("public", 'a"b'), 'public."a""b"'),
        (("public", "a/b"), 'public."a/b"'),
        (("?", "orders"), '"?".orders'),
        (("public", ""), 'public.""'),
        (("public", "*"), "public.*"),
    ],
)
def test_join(parts: tuple[str, ...], name: str) -> None:
    """A part is quoted as SQL quotes identifiers, and only where its text needs it."""
    assert naming.join(*parts) == name


def test_paths_keep_their_dots() -> None:
    """In a path a dot is a character like any other."""
    name = naming.join("GET ", "v1", "report.pdf", separator="/")
    assert name == "GET /v1/report.pdf"
    assert naming.lineage(name) == ("GET ", "GET /v1", "GET /v1/report.pdf")


def test_unresolved_outside() -> None:
    """A bare question mark stands first in several dotted parts, nowhere else."""
    assert naming.lineage("?.orders") == ("?", "?.orders")
    for name in ("?", "public.?", "?/x", "a/?"):
        with pytest.raises(ValueError, match="quoted without need, or not quoted"):
            naming.lineage(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "/",
        "a/",
        "/a",
        "a//b",
        'a"b',
        '"a',
        '"a"b',
        '"public".x',
        '""".a',
        'a"."b',
    ],
)
def test_not_names(name: str) -> None:
    """Empty parts, stray quotes and needless quotes are no names."""
    with pytest.raises(ValueError, match="not a name"):
        naming.lineage(name)


@pytest.mark.parametrize("name", ["a" * 1025, ".".join("a" * 33), "a\ud800"])
def test_bounds(name: str) -> None:
    """Length, depth and alphabet are bounded."""
    with pytest.raises(ValueError, match="name"):
        naming.lineage(name)


@given(st.lists(HOSTILE, min_size=1, max_size=5), st.sampled_from([".", "/"]))
def test_every_chain_of_parts_survives(parts: list[str], separator: "naming.Separator") -> None:
    """What `join` writes, `lineage` reads: as many links as parts, each the `join` of a prefix."""
    if separator == "/" and len(parts) == 1:
        separator = "."
    expected = tuple(naming.join(*parts[: i + 1], separator=separator) for i in range(len(parts)))
    assert naming.lineage(naming.join(*parts, separator=separator)) == expected


@given(*[st.lists(HOSTILE, min_size=1, max_size=3)] * 2)
def test_different_things_have_different_names(one: list[str], other: list[str]) -> None:
    """Equal names have equal parts."""
    assert (naming.join(*one) == naming.join(*other)) == (one == other)


@given(st.text(st.sampled_from('ab./"?'), max_size=12))
def test_what_is_read_is_what_would_be_written(text: str) -> None:
    """Any text is refused, or is in canonical form: each link extends the one before by a separator and a part."""
    try:
        links = naming.lineage(text)
    except ValueError:
        return
    assert links[-1] == text
    for outer, inner in pairwise(links):
        assert inner.startswith(outer)
        assert inner[len(outer)] in "./"
