"""Values of a class leave it only with a permit that names that."""

from typing import Any

import pytest

from ostiary.core import Move, Refusal, RefusalKind, Shape
from ostiary.masking import Classification, ClassRule, Transform
from tests.masking.fakes import CLASSIFICATION, EMAIL, RULES, TARGET, FakeRights, masking


def moving(*moves: tuple[str, str]) -> Shape:
    """A command that puts values of the first where the second is."""
    return Shape((), "x", moves=tuple(Move(frozenset({source}), (into,)) for source, into in moves))


def asked(shape: Shape, *may: str, **changes: Any) -> Refusal | None:
    """With a permit for these classes."""
    return masking(**changes).forbidden(FakeRights({*may}), TARGET, shape)


def test_what_leaves_is_refused_by_name() -> None:
    """The sentence has the class, where from, where to, and what to do."""
    refusal = asked(moving((EMAIL, "orders/public.notes.body")))
    assert refusal is not None
    assert refusal.kind is RefusalKind.POLICY
    assert refusal.message == (
        'denied: values of class "pii.email" would be put where they have none: '
        "orders/public.customers.email into orders/public.notes.body"
    )
    assert "declassify" in refusal.hint


@pytest.mark.parametrize(
    ("source", "into", "refused"),
    [
        (EMAIL, EMAIL, False),
        ("orders/public.customers.name", "orders/public.notes.body", False),
        ("orders/public.customers", "orders/public.notes.body", True),
        ("orders/public", "orders/old", True),
        (EMAIL, "orders/public.customers.card", True),
        (EMAIL, "orders/?.notes.body", True),
        (EMAIL, "orders/outside/file", True),
        ("orders/?.notes.body", "orders/public.notes.body", True),
    ],
)
def test_classes_decide(source: str, into: str, *, refused: bool) -> None:
    """A name nobody knows may be anything to come from, and nothing to go to."""
    assert (asked(moving((source, into))) is not None) is refused


def test_a_place_of_the_same_class_takes_them() -> None:
    """So does one whose kin has the class."""
    more = (*CLASSIFICATION, Classification("orders", "public.leads", "pii.email"))
    assert asked(moving((EMAIL, "orders/public.leads.mail")), classification=more) is None
    shape = Shape((), "x", moves=(Move(frozenset({EMAIL}), ("orders/public.part.email", EMAIL)),))
    assert asked(shape) is None


def test_every_class_is_asked_for() -> None:
    """A permit for one of two is not enough; what can't be told is of all of them."""
    both = moving((EMAIL, "orders/public.notes.body"), ("orders/public.customers.card", "orders/public.notes.body"))
    for shape in (both, Shape((), "x", moves=None)):
        assert asked(shape, "pii.email") is not None
        assert asked(shape, "pii.email", "pci.card") is None


def test_a_class_that_masks_nothing_holds_nothing_back() -> None:
    """`keep` is for values that anybody may see."""
    rules = RULES | {"pii.email": ClassRule(Transform.KEEP)}
    assert asked(moving((EMAIL, "orders/public.notes.body")), rules=rules) is None


def test_another_configuration_counts_at_once() -> None:
    """What was remembered by shape goes with the configuration it was worked out by."""
    service = masking()
    shape = moving((EMAIL, "orders/public.notes.body"))
    assert service.forbidden(FakeRights(), TARGET, shape) is not None
    service.adopt(masking(classification=()).config)
    assert service.forbidden(FakeRights(), TARGET, shape) is None
