"""Statements that are weighed, and wait for a person."""

import json

import pytest

from ostiary.protocols.postgres import refuse
from ostiary.wire.contract import Ask, ForwardAside, ProtocolError, Weighed, Withdraw
from tests.protocols.postgres.playbook import (
    BOUND,
    CANCEL_KEY,
    CLOSED,
    DENIED,
    PARSED,
    SYNC,
    Playbook,
    bind,
    close,
    complete,
    execute,
    failure,
    parse,
    query,
    ready,
    row,
    row_description,
)

DELETE = "DELETE FROM orders"
SELECT = "SELECT name FROM customers"


PLAN = json.dumps(
    [
        {
            "Plan": {
                "Node Type": "ModifyTable",
                "Plan Rows": 0,
                "Plans": [{"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Plan Rows": 41}],
            }
        }
    ]
)


def held(book: Playbook) -> Ask:
    """A simple DELETE that was weighed and waits."""
    book.client(query(DELETE))
    asked = book.asks()
    book.take(book.relay.weigh(asked.action_id))
    book.up(query("EXPLAIN (FORMAT JSON) " + DELETE))
    book.target(row_description("QUERY PLAN"), row(PLAN), complete("EXPLAIN"), ready())
    assert book.effect(Weighed) == Weighed(asked.action_id, 41)
    book.take(book.relay.held("held for approval by dba"))
    book.down(refuse.notice("held for approval by dba"))
    return asked


def test_a_held_statement_runs_when_it_is_approved() -> None:
    """The planner is asked, the client is told that it waits, then the statement itself goes up."""
    with Playbook() as book:
        book.permit(held(book))
        book.up(query(DELETE))
        book.target(complete("DELETE 41"), ready())
        book.ended("ok", "DELETE 41")
        book.down(complete("DELETE 41"), ready())


def test_a_held_statement_that_is_rejected_never_goes_up() -> None:
    """The estimate left nothing open, so the refusal is answered here."""
    with Playbook() as book:
        asked = held(book)
        book.take(book.relay.ruled(asked.action_id, DENIED))
        book.refused(ready("I"))


def test_a_held_statement_that_is_cancelled_is_withdrawn() -> None:
    """The client reads 57014; a ruling that comes too late is an error of the driver."""
    with Playbook() as book:
        asked = held(book)
        book.take(book.relay.interrupted())
        assert book.effect(Withdraw).action_id == asked.action_id
        book.down(refuse.cancelled(), ready("I"))
        with pytest.raises(ProtocolError, match="not asked about"):
            book.permit(asked)


def test_a_held_statement_that_the_target_would_not_plan_fails_as_it_would() -> None:
    """Nobody is asked about a statement that cannot run."""
    with Playbook() as book:
        book.client(query(DELETE))
        asked = book.asks()
        book.take(book.relay.weigh(asked.action_id))
        book.up(query("EXPLAIN (FORMAT JSON) " + DELETE))
        book.target(failure("42703"), ready())
        assert book.effect(Withdraw).action_id == asked.action_id
        book.down(failure("42703"), ready())


@pytest.mark.parametrize("text", ["DELETE FROM orders; DELETE FROM orders", "SELECT refund()", "DROP TABLE orders"])
def test_what_planning_might_run_is_not_weighed(text: str) -> None:
    """EXPLAIN in front of two statements would run the second; planning evaluates functions."""
    with Playbook() as book:
        book.client(query(text))
        asked = book.asks()
        book.take(book.relay.weigh(asked.action_id))
        assert book.effect(Weighed) == Weighed(asked.action_id, None)


def _node(kind: str, rows: float, *below: object, role: str = "Outer") -> dict[str, object]:
    return {"Node Type": kind, "Plan Rows": rows, "Parent Relationship": role, "Plans": list(below)}


@pytest.mark.parametrize(
    ("plans", "rows"),
    [
        ([_node("Seq Scan", 7)], 7),
        ([_node("Aggregate", 1, _node("Seq Scan", 900))], 1),
        ([_node("ModifyTable", 0, _node("Seq Scan", 41))], 41),
        ([_node("ModifyTable", 0, _node("Seq Scan", 4, role="Member"), _node("Seq Scan", 5, role="Member"))], 9),
        ([_node("ModifyTable", 0, _node("Seq Scan", 1), _node("Aggregate", 50, role="InitPlan"))], 1),
        ([_node("Result", 1, _node("ModifyTable", 0, _node("Seq Scan", 5000), role="InitPlan"))], 5000),
        ([_node("ModifyTable", 0, _node("Seq Scan", 3)), _node("ModifyTable", 0, _node("Seq Scan", 4))], 7),
        ([_node("Seq Scan", 10**60)], 10**60),
        ([_node("Seq Scan", float("inf"))], None),
        ([{"Node Type": "ModifyTable", "Plan Rows": 0, "Plans": [{"Node Type": "Result", "Plan Rows": 1}]}], None),
        ([], None),
    ],
)
def test_rows_of_a_plan(plans: list[object], rows: int | None) -> None:
    """Rows that are changed, wherever they are, or those of the result; what is not a plan gives none."""
    plan = json.dumps([{"Plan": plan} for plan in plans])
    with Playbook() as book:
        book.client(query(DELETE))
        asked = book.asks()
        book.take(book.relay.weigh(asked.action_id))
        book.up(query("EXPLAIN (FORMAT JSON) " + DELETE))
        book.target(row_description("QUERY PLAN"), row(plan), complete("EXPLAIN"), ready())
        assert book.effect(Weighed) == Weighed(asked.action_id, rows)
        book.permit(asked)
        book.up(query(DELETE))
        book.target(complete("DELETE 1"), ready())
        book.ended("ok", "DELETE 1")
        book.down(complete("DELETE 1"), ready())


def weighed(book: Playbook, bound: bytes) -> Ask:
    """A prepared DELETE that was bound to 7; the target is asked for its estimate, under a name of our own."""
    text = "DELETE FROM orders WHERE id = $1"
    book.client(parse(text), SYNC)
    book.allow()
    book.up(parse(text), SYNC)
    book.target(PARSED, ready())
    book.down(PARSED, ready())
    book.client(bound, execute(), SYNC)
    asked = book.asks()
    book.take(book.relay.weigh(asked.action_id))
    own = "ostiary estimate"
    book.up(
        parse("EXPLAIN (FORMAT JSON) " + text, own),
        bind(own, own, values=(b"7",)),
        execute(own),
        close("P", own),
        close("S", own),
        SYNC,
    )
    return asked


def test_a_held_bind_is_weighed_with_its_values() -> None:
    """The estimate is of the statement with the very values, under a name of its own that is closed again."""
    bound = bind(values=(b"7",), formats=b"\0\1\0\1")
    with Playbook() as book:
        asked = weighed(book, bound)
        book.target(PARSED, BOUND, row(PLAN), complete("EXPLAIN"), CLOSED, CLOSED, ready())
        assert book.effect(Weighed) == Weighed(asked.action_id, 41)
        book.permit(asked)
        book.up(bound, execute(), SYNC)


def test_a_bind_that_cannot_be_weighed_fails_once() -> None:
    """The target's own words for the Bind; what follows is skipped up to the client's Sync, as the server does."""
    with Playbook() as book:
        asked = weighed(book, bind(values=(b"7",)))
        book.target(failure("42501"))
        assert book.effect(Withdraw).action_id == asked.action_id
        book.up(SYNC)
        book.down(failure("42501"))
        book.target(ready(), ready())
        book.down(ready())


# ---------------------------------------------------------------- cancelling what runs


def test_cancel_while_running_goes_aside_and_nothing_is_taken_until_it_arrived() -> None:
    """A cancel that is late would hit the client's next statement."""
    with Playbook() as book:
        book.client(query(SELECT))
        book.allow()
        book.up(query(SELECT))
        book.take(book.relay.interrupted())
        aside = book.effect(ForwardAside).data
        assert aside[-len(CANCEL_KEY) :] == CANCEL_KEY
        book.target(failure("57014"), ready())
        book.ended("error", "57014")
        book.down(failure("57014"), ready())
        book.client(query(SELECT))
        book.take(book.relay.interrupted())
        book.nothing()
        book.take(book.relay.aside_done())
        book.asks()


def test_the_cancel_request_is_well_formed() -> None:
    """Length, code 80877102, then the target's own key (Message Formats, CancelRequest)."""
    with Playbook() as book:
        book.client(query(SELECT))
        book.allow()
        book.up(query(SELECT))
        book.take(book.relay.interrupted())
        assert book.effect(ForwardAside).data == bytes.fromhex("0000001004d2162e") + CANCEL_KEY


def test_cancel_when_nothing_runs_does_nothing() -> None:
    """There is nothing to hit."""
    with Playbook() as book:
        book.take(book.relay.interrupted())
