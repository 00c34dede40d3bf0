"""What is pending, and what answers to it."""

import dataclasses

import pytest

from ostiary.gate.ports import Refused
from ostiary.signin.ways import PENDING_SECONDS, Pending, Redirect, check_pending
from tests.signin.kit import Spent

NOW = 1_800_000_000.0


def test_every_value_is_new_and_none_is_shown() -> None:
    """No two sign-ins share a value, and no value is seen in a log."""
    one, two = Pending.begun("acme", NOW), Pending.begun("acme", NOW)
    values = [value for each in (one, two) for value in dataclasses.astuple(each)[1:-1]]
    assert len(set(values)) == 8
    assert all(len(value) >= 43 and value not in repr(one) for value in values)
    assert "secret" not in repr(Redirect("https://idp.example/?state=secret"))


async def test_its_own_answer_is_taken_once() -> None:
    """The state that was sent out comes back in time; what is remembered of it is not the state."""
    pending, spent = Pending.begun("acme", NOW), Spent()
    await check_pending(pending, "acme", pending.state, NOW + PENDING_SECONDS - 1, spent)
    with pytest.raises(Refused, match="answered before"):
        await check_pending(pending, "acme", pending.state, NOW + 1, spent)
    assert pending.state not in str(spent.ids)


@pytest.mark.parametrize(
    ("way", "state", "seconds", "reason"),
    [
        ("acme", None, 1, "does not belong"),
        ("acme", "", 1, "does not belong"),
        ("acme", "é", 1, "does not belong"),
        ("acme", "x" * 43, 1, "does not belong"),
        ("other", ..., 1, "does not belong"),
        ("acme", ..., PENDING_SECONDS, "too long"),
        ("acme", ..., -1, "too long"),
    ],
)
async def test_another_answer_is_refused(way: str, state: object, seconds: float, reason: str) -> None:
    """Another state, another provider, or too late."""
    pending = Pending.begun("acme", NOW)
    given = pending.state if state is ... else state
    assert given is None or isinstance(given, str)
    with pytest.raises(Refused, match=reason):
        await check_pending(pending, way, given, NOW + seconds, Spent())
