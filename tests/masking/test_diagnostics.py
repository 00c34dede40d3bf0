"""Errors and notices: the sentence stays, its values go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.core import Access, Action, Operation, ResultKind, Shape, ValueKind
from ostiary.masking import ClassRule, Detection, Transform
from ostiary.masking.diagnostics import scrub
from ostiary.protocols.postgres.results import diagnostic_columns
from tests.masking.fakes import RULES, FakeRights, action, column, masking, run

NAMES = frozenset({"customers", "email", "customers_email_key", "nosuch", "id", "integer"})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("division by zero", "division by zero"),
        (
            'invalid input syntax for type integer: "ada@example.com"',
            "invalid input syntax for type integer: [redacted]",
        ),
        (
            'invalid input syntax for type integer: "a "quoted" one"',
            "invalid input syntax for type integer: [redacted]",
        ),
        ("Key (email)=(ada@example.com) already exists.", "Key (email)=[redacted] already exists."),
        ("Key (id, email)=(1, ada) already exists.", "Key (id, email)=[redacted] already exists."),
        ("Key (ssn)=(5) already exists.", "Key [redacted]=[redacted] already exists."),
        ("Failing row contains (id) canary ().", "Failing row contains [redacted]."),
        ("Key (lower(email))=(ada) already exists.", "Key [redacted]=[redacted] already exists."),
        (
            'Key (id)=(5) is not present in table "customers".',
            'Key (id)=[redacted] is not present in table "customers".',
        ),
        ("Failing row contains (1, Ada, null).", "Failing row contains [redacted]."),
        (
            'duplicate key value violates unique constraint "customers_email_key"',
            'duplicate key value violates unique constraint "customers_email_key"',
        ),
        (
            'null value in column "email" of relation "customers" violates not-null constraint',
            'null value in column "email" of relation "customers" violates not-null constraint',
        ),
        ('relation "nosuch" does not exist', 'relation "nosuch" does not exist'),
        ('relation "nosuchelse" does not exist', "relation [redacted] does not exist"),
        ("setval: value 4111111111111111 is out of bounds", "[redacted]"),
        (
            'setval: value 41 is out of bounds for sequence "id" (1..5)',
            'setval: value [redacted] is out of bounds for sequence "id" ([redacted])',
        ),
        (
            'invalid byte sequence for encoding "UTF8": 0xc3',
            "invalid byte sequence for encoding [redacted]: [redacted]",
        ),
        ("operator does not exist: ada", "operator does not exist: [redacted]"),
        ("function ada(integer) does not exist", "function [redacted] does not exist"),
        ("a.b.c.ada is not known (at all)", "[redacted]"),
        ("valeur « ada » incorrecte", "[redacted]"),
        (
            'invalid input syntax for type integer: "id" "email" "id"',
            "invalid input syntax for type integer: [redacted]",
        ),
        ('relation "id" "email" does not exist', "relation [redacted] does not exist"),
        ("division by zero ada", "[redacted]"),
        ("", "[redacted]"),
    ],
)
def test_scrub(text: str, shown: str) -> None:
    """Values go, the target's own words and known names stay."""
    assert scrub(text, NAMES) == shown


@given(st.text(alphabet="\"'() =.,:x1", max_size=12), st.text(alphabet="\"'() =.,:x1", max_size=12), st.booleans())
def test_words_around_a_value_do_not_free_it(before: str, after: str, key: bool) -> None:
    """Whatever is concatenated to a value, marks and known names included, the value does not come through."""
    value = f'{before}"id" sEcrEt "id"{after}'
    text = f"Key (email)=({value}) already exists." if key else f'invalid input syntax for type integer: "{value}"'
    assert "sEcrEt" not in scrub(text, NAMES | {""})
    value = f"{before}(id)=sEcrEt{after}"
    text = f"Failing row contains ({value})." if key else f'invalid input syntax for type integer: "{value}"'
    assert "sEcrEt" not in scrub(text, NAMES | {""})


def diagnose(
    what: Action, file: bytes = b"nbtinsert.c", unmask: set[str] | None = None, **fields: bytes
) -> dict[str, bytes]:
    """A PostgreSQL error through the masker, as the engine describes it."""
    values = {"S": b"ERROR", "C": b"23505", "F": file} | fields
    names = tuple(values)
    cells = list(values.values())
    columns = list(diagnostic_columns(names, list(cells)))
    got = run(
        masking(Detection()),
        columns,
        [[cell] for cell in cells],
        what,
        FakeRights(unmask or set()),
        ResultKind.DIAGNOSTIC,
    )
    return {name: cell[0] or b"" for name, cell in zip(names, got, strict=True)}


def test_a_violated_key_of_a_classified_relation() -> None:
    """Codes and names stay for the program, the words for the person; the value goes."""
    got = diagnose(
        action("public.customers"),
        M=b'duplicate key value violates unique constraint "customers_email_key"',
        D=b"Key (email)=(ada lovelace) already exists.",
        n=b"customers_email_key",
        W=b'SQL statement "insert ... ada lovelace"',
    )
    assert got == {
        "S": b"ERROR",
        "C": b"23505",
        "F": b"nbtinsert.c",
        "M": b'duplicate key value violates unique constraint "customers_email_key"',
        "D": b"Key (email)=[redacted] already exists.",
        "n": b"customers_email_key",
        "W": b"[redacted]",
    }


def test_text_raised_by_code_on_the_target_is_hidden() -> None:
    """RAISE may say anything in any field but the codes; so may a language or server that is not known."""
    for file in (b"pl_exec.c", b"plpy_elog.c", b"postgres_fdw.c"):
        got = diagnose(action("public.customers"), file, M=b"no such person: ada", n=b"ada", C=b"P0001")
        assert (got["M"], got["n"], got["C"]) == (b"[redacted]", b"[redacted]", b"P0001")


def test_what_touches_no_class_keeps_its_text() -> None:
    """Only the detectors look at it."""
    got = diagnose(action("public.orders"), M=b'no order "x" of ada@example.com', D=b"Key (id)=(5) exists.")
    assert (got["M"], got["D"]) == (b'no order "x" of a***@e***.com', b"Key (id)=(5) exists.")


def test_when_sources_are_not_known_it_is_masked() -> None:
    """Outside any command, or in one that cannot be told apart, every class may be meant."""
    got = diagnose(action(unknown=True), M=b'invalid input syntax for type integer: "ada"', W=b"in a loop")
    assert (got["M"], got["W"]) == (b"invalid input syntax for type integer: [redacted]", b"[redacted]")


def test_what_a_command_changes_counts_like_what_it_reads() -> None:
    """A write that reads nothing may still fail over a classified value; a class that is kept hides nothing."""
    detail = b"Key (email)=(ada lovelace) already exists."
    accesses = (Access(Operation.INSERT, "orders/public.customers"),)
    what = Action(Shape(accesses, "an insert", sources=()), "")
    columns = [column("D", kind=ValueKind.MESSAGE)]
    got = run(masking(), columns, [[detail]], what, kind=ResultKind.DIAGNOSTIC)
    assert got == [[b"Key (email)=[redacted] already exists."]]
    kept = masking(rules={name: ClassRule(Transform.KEEP) for name in RULES})
    assert run(kept, columns, [[detail]], what, kind=ResultKind.DIAGNOSTIC) == [[detail]]


def test_unmask_shows_diagnostics_when_it_covers_all_classes() -> None:
    """One class of two is not enough."""
    detail = b"Key (email)=(ada lovelace) already exists."
    assert diagnose(action("public.customers"), unmask={"pii.email"}, D=detail)["D"] != detail
    assert diagnose(action("public.customers"), unmask={"pii.email", "pci.card"}, D=detail)["D"] == detail


def test_the_command_own_words_are_names() -> None:
    """Who misspells a column is told which."""
    what = action("public.customers", text="select emial from customers")
    got = diagnose(what, M=b'column "emial" does not exist')
    assert got["M"] == b'column "emial" does not exist'


def test_undecodable_messages_are_redacted_and_nothing_is_nulled() -> None:
    """A protocol may have no null for a field."""
    assert diagnose(action("public.customers"), M=b'"\xff ada"')["M"] == b"[redacted]"
    got = run(masking(), [column("M", kind=ValueKind.MESSAGE)], [[None]], kind=ResultKind.DIAGNOSTIC)
    assert got == [[None]]
