"""The digest: every part of what is approved changes it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.approvals import Quorum
from ostiary.approvals.binding import digest
from ostiary.core import Parameter
from ostiary.gate.ports import HoldRequest
from tests.approvals.fakes import ACTION, DANA, HELD, TARGET

NONCE = b"n" * 32
DBA = (Quorum("dba", 1),)


@pytest.mark.parametrize(
    "change",
    [
        lambda held: replace(held, session_id="s-2"),
        lambda held: replace(held, action_id=6),
        lambda held: replace(held, principal=DANA),
        lambda held: replace(held, target=replace(TARGET, name="payments")),
        lambda held: replace(held, target=replace(TARGET, host="db2.internal")),
        lambda held: replace(held, target=replace(TARGET, database="shop2")),
        lambda held: replace(held, action=replace(ACTION, text=ACTION.text + " ")),
        lambda held: replace(held, action=replace(ACTION, parameters=())),
        lambda held: replace(held, action=replace(ACTION, parameters=(Parameter(b"8", type="23"),))),
        lambda held: replace(held, action=replace(ACTION, parameters=(Parameter(None, type="23"),))),
        lambda held: replace(held, action=replace(ACTION, parameters=(Parameter(b"7", type="20"),))),
        lambda held: replace(held, action=replace(ACTION, parameters=(Parameter(b"7", binary=True, type="23"),))),
        lambda held: replace(held, parameters=("8",)),
        lambda held: replace(held, parameters=(None,)),
    ],
)
def test_everything_is_bound(change: Callable[[HoldRequest], HoldRequest]) -> None:
    """Another session, action, person, target, text or parameter is another digest."""
    assert digest(NONCE, "7K2P7K2P", change(HELD), DBA) != digest(NONCE, "7K2P7K2P", HELD, DBA)


def test_code_nonce_and_groups_are_bound() -> None:
    """So are the code, the process's nonce, and the groups with their numbers."""
    digests = {
        digest(NONCE, "7K2P7K2P", HELD, DBA),
        digest(b"m" * 32, "7K2P7K2P", HELD, DBA),
        digest(NONCE, "7K2P7K2Q", HELD, DBA),
        digest(NONCE, "7K2P7K2P", HELD, (Quorum("dba", 2),)),
        digest(NONCE, "7K2P7K2P", HELD, (Quorum("sales", 1),)),
    }
    assert len(digests) == 5


def test_fields_do_not_run_into_each_other() -> None:
    """What ends one field can't begin the next: names that would join to the same bytes differ."""
    one = replace(HELD, target=replace(TARGET, name="a", protocol="bVc"))
    two = replace(HELD, target=replace(TARGET, name="aVb", protocol="c"))
    assert digest(NONCE, "7K2P7K2P", one, DBA) != digest(NONCE, "7K2P7K2P", two, DBA)


PARAMETERS = st.lists(
    st.builds(
        Parameter,
        value=st.none() | st.binary(max_size=9) | st.sampled_from([b"N", b"V", (1).to_bytes(8)]),
        binary=st.booleans(),
        type=st.sampled_from(["", "23", "25", "0"]),
    ),
    max_size=4,
).map(tuple)
TEXTS = st.text(st.characters(codec=None), max_size=9)


@given(TEXTS, PARAMETERS, TEXTS, PARAMETERS)
def test_no_two_commands_encode_alike(
    text: str, parameters: tuple[Parameter, ...], other: str, others: tuple[Parameter, ...]
) -> None:
    """Digests are equal exactly when text and parameters are."""
    one = replace(HELD, action=replace(ACTION, text=text, parameters=parameters))
    two = replace(HELD, action=replace(ACTION, text=other, parameters=others))
    same = (text, parameters) == (other, others)
    assert (digest(NONCE, "7K2P7K2P", one, DBA) == digest(NONCE, "7K2P7K2P", two, DBA)) is same
