"""What a change comes to, field by field."""

from typing import Any

import pytest

from ostiary.control.plan import Change, Refused, hidden, patched, planned
from ostiary.resources import Declared, Key, ResourceKind, StoredResource

TARGET = Key(ResourceKind.TARGET, "a")
#: RFC 7396, appendix A.
MERGES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("document", "patch", "result"), MERGES)
def test_a_merge_patch_is_applied_as_the_standard_has_it(document: Any, patch: Any, result: Any) -> None:
    """Every example of RFC 7396."""
    assert patched(document, patch) == result


def test_every_field_that_differs_is_told() -> None:
    """Inside mappings by its dotted name; null is not the same as nothing."""
    before = StoredResource(*TARGET, {"a": 1, "b": {"c": [1], "d": None}, "same": {}})
    (found,) = planned({TARGET: {"a": 2, "b": {"c": [2], "e": "x"}, "same": {}}}, {TARGET: before}, {})
    assert found.change is Change.CHANGE
    assert [(each.field, each.before, each.after) for each in found.differences] == [
        ("a", 1, 2),
        ("b.c", [1], [2]),
        ("b.d", None, None),
        ("b.e", None, "x"),
    ]


def test_names_in_documents_are_those_they_are_known_by() -> None:
    """Left out where they agree; one that does not is a difference, and for whoever validates it."""
    classified = Key(ResourceKind.CLASSIFICATION, "a/b.c/d")
    stored = StoredResource(*classified, {"class": "x"})
    wanted = {"target": "a", "object": "b.c/d", "class": "x"}
    assert planned({classified: wanted}, {classified: stored}, {})[0].change is Change.UNCHANGED
    assert planned({classified: {**wanted, "target": "b"}}, {classified: stored}, {})[0].after == {
        "target": "b",
        "class": "x",
    }


def test_what_a_file_declares_is_as_it_is_there_or_refused() -> None:
    """With its place."""
    there = {TARGET: Declared("ostiary.yaml:7", {"x": 1})}
    (same,) = planned({TARGET: {"x": 1, "name": "a"}}, {}, there)
    assert (same.change, same.place) == (Change.UNCHANGED, "ostiary.yaml:7")
    with pytest.raises(Refused, match=r'target "a" is declared at ostiary.yaml:7'):
        planned({TARGET: {"x": 2}}, {}, there)


def test_secrets_are_hidden_wherever_they_stand() -> None:
    """The same reference gives the same digest, another one another, and none tells what it is."""
    one, two = ({"credential": {"admin": {"password": {"env": name}}, "type": "x"}} for name in ("CANARY", "OTHER"))
    assert hidden(one) == hidden(one) != hidden(two)
    assert "CANARY" not in str(hidden(one))
    assert hidden(one)["credential"]["type"] == "x"
    assert "canary" not in str(hidden({"password": "canary"}))
