"""What records and approvers see of statements and bind values."""

from typing import Any

import pytest

from ostiary.core import Action, Parameter
from ostiary.masking import ClassRule, Detection, Transform
from ostiary.masking.masking import MAX_VALUE, MAX_VALUES
from tests.masking.fakes import EMAIL, TARGET, action, masking


def shown(what: Action, *parameters: Parameter, **changes: Any) -> tuple[str | None, ...]:
    """Parameters of an action as text."""
    return masking(Detection(), **changes).parameters(TARGET, Action(what.shape, what.text, parameters))


FREE = action("public.orders")


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (Parameter(None), None),
        (Parameter(b"42"), "42"),
        (Parameter("grüße".encode()), "grüße"),
        (Parameter(b"mail ada@example.com"), "mail a***@e***.com"),
        (Parameter(b"\x00\x00\x00\x2a", binary=True, inert=True), "0x0000002a"),
        (Parameter(b"text in binary format", binary=True), "text in binary format"),
        (Parameter(b"\x00\x01\x02", binary=True), "(binary, 3 bytes)"),
        (Parameter(b"\xff\xfe"), "(binary, 2 bytes)"),
        (Parameter(b"x" * 600), "x" * MAX_VALUE + "… (600 bytes)"),
        (Parameter(b" " * 505 + b"4111111111111111"), " " * 505 + "*******… (521 bytes)"),
    ],
)
def test_values_that_meet_no_class(parameter: Parameter, text: str | None) -> None:
    """They are shown, with finds replaced, within bounds; binary ones as what they are."""
    assert shown(FREE, parameter) == (text,)


def test_values_that_may_meet_a_class_are_masked() -> None:
    """Where nobody can tell which value belongs to which column, none is shown; null has nothing to hide."""
    for what in (action("public.customers"), action(unknown=True)):
        assert shown(what, Parameter(b"ada"), Parameter(b"42", inert=True), Parameter(None)) == (
            "[masked]",
            "[masked]",
            None,
        )


def test_lineage_of_bind_values_shows_what_is_harmless() -> None:
    """The one that is compared with an address is masked; the one that meets an id is not."""
    inputs = (frozenset({EMAIL}), frozenset({"orders/public.customers.id"}), None, frozenset[str]())
    what = action("public.customers", inputs=inputs)
    got = shown(what, *(Parameter(b"7"),) * 4)
    assert got == ("[masked]", "7", "[masked]", "7")
    assert shown(what, Parameter(b"7")) == ("[masked]",)


def test_numbers_beside_classes_of_text_are_shown() -> None:
    """When every class that is touched is said to be text only, a number or a date is none of it."""
    rules = {
        "pii.email": ClassRule(Transform.PARTIAL, text_only=True),
        "pci.card": ClassRule(Transform.NULL, text_only=True),
    }
    what = action("public.customers")
    assert shown(what, Parameter(b"42", inert=True), Parameter(b"42"), rules=rules) == ("42", "[masked]")


def test_the_number_of_values_is_bounded() -> None:
    """The rest is counted."""
    got = shown(FREE, *(Parameter(b"1"),) * (MAX_VALUES + 3))
    assert (len(got), got[-1]) == (MAX_VALUES + 1, "(3 more)")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("select * from orders where id = 1", "select * from orders where id = 1"),
        ("insert into t values ('ada@example.com')", "insert into t values ('a***@e***.com')"),
        ("select '\ud800'", "select '\ud800'"),
        ("select '\ud800', 'ada@example.com'", "select '?', 'a***@e***.com'"),
    ],
)
def test_statement_text(text: str, kept: str) -> None:
    """Finds in a statement's text are replaced, every time it is asked for."""
    service = masking(Detection())
    assert service.text(TARGET, text) == kept
    assert service.text(TARGET, text) == kept


def test_texts_are_remembered_by_target_and_within_bounds() -> None:
    """Another target's detectors answer for themselves; the memo does not grow for ever, and huge texts stay out."""
    service = masking(Detection(), detection={"orders": Detection({})})
    other = type(TARGET)("billing", "any", "h", 1, "d")
    assert service.text(TARGET, "ada@example.com") == "ada@example.com"
    assert service.text(other, "ada@example.com") == "a***@e***.com"
    for number in range(1500):
        service.text(TARGET, f"select {number}")
    service.text(TARGET, "x" * 10_000)
    assert len(service._texts) <= 1024
    assert all(len(text) <= 8192 for _, text in service._texts)
