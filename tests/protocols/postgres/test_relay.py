"""The query phase, scene by scene: what goes up, what the client reads, and that both sides agree on the status."""

import json
import re

import pytest

from ostiary.core import Operation, Permit, Refusal, RefusalKind, Result, Stage, ValueKind
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.catalog import CATALOG_QUERY, CatalogCache
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.requests import MAX_INBOX_BYTES, MAX_NAMES, POISON_PARSE, POISON_QUERY
from ostiary.protocols.postgres.shapes import SessionShape
from ostiary.protocols.postgres.statements import Judge
from ostiary.sql import analyze
from ostiary.wire.contract import Ask, Close, Forward, ForwardAside, ProtocolError, Release, Side, Weighed, Withdraw
from tests.protocols.postgres.playbook import (
    BOUND,
    CANCEL_KEY,
    CLOSED,
    COPY_DONE,
    DENIED,
    FLUSH,
    PARSED,
    SUSPENDED,
    SYNC,
    TERMINATE,
    Playbook,
    bind,
    close,
    complete,
    copy_data,
    describe,
    execute,
    failure,
    parse,
    query,
    ready,
    row,
    row_description,
)
from tests.protocols.postgres.shop import TARGET, Clock, document, judge, oid

DELETE = "DELETE FROM orders"
SELECT = "SELECT name FROM customers"
CUSTOMERS_EMAIL = "shop/public.customers.email"
NOTICE = message(b"N", b"SNOTICE\0VNOTICE\0C00000\0Mhello\0Fpl_exec.c\0\0")


# ---------------------------------------------------------------- refusals


def test_denied_query_when_idle_is_answered_here() -> None:
    """Nothing goes up, and the session works on."""
    with Playbook() as book:
        book.client(query(DELETE))
        book.deny()
        book.refused(ready("I"))
        book.client(query(SELECT))
        book.allow()
        book.up(query(SELECT))


def test_denied_query_inside_a_transaction_fails_it_at_the_target_too() -> None:
    """A message that must fail goes up in its place; the client reads the refusal, and both sides say E."""
    with Playbook() as book:
        book.begin()
        book.client(query(DELETE))
        book.deny()
        book.up(POISON_QUERY)
        book.target(failure(), ready("E"))
        book.refused(ready("E"))


def test_denied_parse_when_idle_is_answered_here() -> None:
    """Everything up to Sync is skipped, and one ReadyForQuery answers it."""
    with Playbook() as book:
        book.client(parse(DELETE), bind(), describe(), execute())
        book.deny()
        book.refused()
        book.client(SYNC)
        book.down(ready("I"))


def test_denied_parse_in_a_pipeline_fails_the_rest_of_its_segment_only() -> None:
    """A poisoned Parse goes up, what follows is skipped until Sync, and each Sync has its own ReadyForQuery."""
    with Playbook() as book:
        book.client(parse(SELECT), bind(), execute(), parse(DELETE), bind(), execute(), SYNC, parse(SELECT), SYNC)
        book.allow()
        book.up(parse(SELECT))
        book.allow()
        book.up(bind(), execute())
        book.deny()
        book.up(POISON_PARSE, SYNC)
        book.allow()
        book.up(parse(SELECT), SYNC)
        book.target(PARSED, BOUND, row("Ada"), complete("SELECT 1"), failure(), ready("I"), PARSED, ready("I"))
        book.ended("ok", "SELECT 1")
        book.down(PARSED, BOUND, row("Ada"), complete("SELECT 1"), refuse.error(DENIED), ready(), PARSED, ready())


def test_denied_bind_behind_a_confirmed_parse() -> None:
    """The values decide: the statement stays prepared, the execution does not happen."""
    with Playbook() as book:
        book.client(parse("SELECT name FROM customers WHERE id = $1", "s"), SYNC)
        book.allow()
        book.up(parse("SELECT name FROM customers WHERE id = $1", "s"), SYNC)
        book.target(PARSED, ready())
        book.down(PARSED, ready())
        book.client(bind("s", values=(b"7",)), execute(), SYNC)
        assert [p.value for p in book.asks(Stage.RUN).action.parameters] == [b"7"]
        book.take(book.relay.ruled(2, DENIED))
        book.refused(ready("I"))


@pytest.mark.parametrize("text", ["SELEC 1", "EXECUTE nothing", ""])
def test_text_that_cannot_be_judged_is_never_forwarded(text: str) -> None:
    """It is this statement's refusal; an empty text is asked about like any other."""
    with Playbook() as book:
        book.client(query(text))
        if text:
            assert book.told().startswith(b"E")
        else:
            book.deny()
            book.refused(ready("I"))


def test_a_fault_of_the_analysis_is_a_refusal() -> None:
    """An exception of the analysis ends the statement, not the session, and its text is not shown."""

    def broken(_: str) -> "object":
        raise KeyError("hunter2")

    cache = CatalogCache(Clock())
    judge = Judge(TARGET, "shop", cache, broken)  # type: ignore[arg-type]
    judge.learn([row(document())])
    with Playbook(judge=judge) as book:
        book.client(query("SELECT 1"))
        told = book.told()
        assert b"KeyError" in told
        assert b"hunter2" not in told


# ---------------------------------------------------------------- pipelines


def test_an_error_of_the_target_skips_the_rest_of_the_segment() -> None:
    """What was forwarded behind it is owed nothing; its actions are recorded as not run."""
    with Playbook() as book:
        book.client(parse(SELECT), bind(), execute(), parse(SELECT, "b"), bind("b", "p"), SYNC)
        for sent in (parse(SELECT), bind()):
            book.allow()
            book.up(sent)
        book.up(execute())
        for sent in (parse(SELECT, "b"), bind("b", "p")):
            book.allow()
            book.up(sent)
        book.up(SYNC)
        book.target(PARSED, BOUND, failure("22012"), ready("I"))
        book.ended("error", "22012")
        book.ended("error", "not run: an earlier message of the pipeline failed")
        book.down(PARSED, BOUND, failure("22012"), ready("I"))
        book.client(bind("b"), SYNC)
        assert book.asks(Stage.RUN).action.text == 'EXECUTE "b"', "what SQL may have prepared under that name"


def test_an_error_before_the_sync_came_skips_what_comes_until_it() -> None:
    """Messages behind the error are dropped, and the Sync still goes up: the target waits for it."""
    with Playbook() as book:
        book.client(parse(SELECT), FLUSH)
        book.allow()
        book.up(parse(SELECT), FLUSH)
        book.target(failure("42P01"))
        book.down(failure("42P01"))
        book.client(bind(), execute(), parse(DELETE), SYNC)
        book.up(SYNC)
        book.target(ready("I"))
        book.down(ready("I"))


def test_a_ruling_for_what_was_not_asked_is_an_error() -> None:
    """A permit fits the one action that waits, no other."""
    book = Playbook()
    book.client(query(SELECT))
    with pytest.raises(ProtocolError, match="not asked about"):
        book.relay.ruled(book.asks().action_id + 1, DENIED)


def test_nothing_is_taken_while_a_ruling_is_awaited() -> None:
    """Messages behind it wait, bounded; then the client is not read any more."""
    with Playbook() as book:
        book.client(query(SELECT))
        book.asks()
        book.client(query(DELETE))
        book.nothing()
        assert book.relay.wants(Side.CLIENT)
        book.client(query("x" * MAX_INBOX_BYTES))
        assert not book.relay.wants(Side.CLIENT)


def test_statements_behind_a_definition_wait_for_its_end() -> None:
    """What a later statement means may hang on it; the catalogue is read anew before it is judged."""
    with Playbook() as book:
        book.client(query("CREATE VIEW public.v AS SELECT 1"), query("SELECT * FROM v"))
        book.allow()
        book.up(query("CREATE VIEW public.v AS SELECT 1"))
        book.nothing()
        book.target(complete("CREATE VIEW"), ready())
        book.ended("ok", "CREATE VIEW")
        book.up(query(CATALOG_QUERY))
        book.down(complete("CREATE VIEW"), ready())
        book.target(row_description("c"), row(document()), complete("SELECT 1"), ready())
        book.asks()


def test_the_catalogue_is_read_once_before_the_first_statement() -> None:
    """Its answer never reaches the client; a second session finds the snapshot."""
    cache = CatalogCache(Clock())
    with Playbook(judge=Judge(TARGET, "shop", cache, analyze)) as book:
        book.client(query(SELECT))
        book.up(query(CATALOG_QUERY))
        book.target(row_description("c"), row(document()), complete("SELECT 1"), ready())
        asked = book.asks()
        assert [a.object for a in asked.action.shape.accesses] == ["shop/public.customers"]
        book.permit(asked)
        book.up(query(SELECT))
    with Playbook(judge=Judge(TARGET, "shop", cache, analyze)) as book:
        book.client(query(SELECT))
        book.asks()


def test_a_catalogue_that_cannot_be_read_ends_the_session() -> None:
    """Nothing can be judged without it."""
    book = Playbook(judge=Judge(TARGET, "shop", CatalogCache(Clock()), analyze))
    book.client(query(SELECT))
    book.up(query(CATALOG_QUERY))
    book.target(failure("42501"))
    book.broken("catalogue could not be read")


# ---------------------------------------------------------------- held statements

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


def test_a_held_bind_is_weighed_with_its_values() -> None:
    """The estimate is of the statement with the very values, under a name of its own that is closed again."""
    text = "DELETE FROM orders WHERE id = $1"
    with Playbook() as book:
        book.client(parse(text), SYNC)
        book.allow()
        book.up(parse(text), SYNC)
        book.target(PARSED, ready())
        book.down(PARSED, ready())
        book.client(bind(values=(b"7",), formats=b"\0\1\0\1"), execute(), SYNC)
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
        book.target(PARSED, BOUND, row(PLAN), complete("EXPLAIN"), CLOSED, CLOSED, ready())
        assert book.effect(Weighed) == Weighed(asked.action_id, 41)
        book.permit(asked)
        book.up(bind(values=(b"7",), formats=b"\0\1\0\1"), execute(), SYNC)


def test_a_bind_that_cannot_be_weighed_fails_once() -> None:
    """The target's own words for the Bind; what follows is skipped up to the client's Sync, as the server does."""
    text = "DELETE FROM orders WHERE id = $1"
    with Playbook() as book:
        book.client(parse(text), SYNC)
        book.allow()
        book.up(parse(text), SYNC)
        book.target(PARSED, ready())
        book.down(PARSED, ready())
        book.client(bind(values=(b"7",)), execute(), SYNC)
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


# ---------------------------------------------------------------- results


def test_rows_pass_the_gate_in_order_with_notices() -> None:
    """While the gate has one, nothing behind it moves."""
    with Playbook(release=True) as book:
        book.client(query(SELECT))
        book.allow()
        book.up(query(SELECT))
        described = row_description("name", table=oid("customers"))
        book.target(described, row("Ada"), row("Eve"), NOTICE, row("Bob"), complete("SELECT 3"), ready())
        book.down(described)
        batch = book.effect(Release)
        assert batch.result.rows.column(0) == [b"Ada", b"Eve"]
        masked = Result(batch.result.kind, batch.result.columns, batch.result.rows.replaced({0: [b"A", None]}))
        book.take(book.relay.released(masked, clear=False))
        book.down(row("A"), row(None))
        notice = book.effect(Release)
        assert notice.result.columns[-2].name == "M"
        book.take(book.relay.released(notice.result, clear=False))
        book.down(NOTICE)
        last = book.effect(Release)
        book.take(book.relay.released(last.result, clear=True))
        book.ended("ok", "SELECT 3")
        book.down(row("Bob"), complete("SELECT 3"), ready())


def test_clear_columns_are_not_handed_over_again() -> None:
    """Once the gate said so, further rows under the description go straight through."""
    with Playbook(release=True) as book:
        book.client(query(SELECT))
        book.allow()
        book.up(query(SELECT))
        book.target(row_description("name"), row("Ada"))
        book.down(row_description("name"))
        released = book.effect(Release)
        book.take(book.relay.released(released.result, clear=True))
        book.down(row("Ada"))
        book.target(row("Eve"))
        book.down(row("Eve"))


def test_a_result_that_cannot_be_masked_ends_the_session_without_a_byte_of_it() -> None:
    """Half of a result cannot be taken back."""
    refusal = Refusal(RefusalKind.MASKING, "refused: the result could not be masked")
    with Playbook(release=True) as book:
        book.client(query(SELECT))
        book.allow()
        book.up(query(SELECT))
        book.target(row_description("name"), row("Ada"), row("Eve"), NOTICE, row("Bob"))
        book.down(row_description("name"))
        book.effect(Release)
        book.take(book.relay.released(refusal, clear=False))
        book.down(refuse.error(refusal, "FATAL"))
        assert book.effect(Close).reason == refusal.message


def test_a_portal_executed_without_describe_gets_our_own() -> None:
    """Its answer is swallowed, and the rows still pass the gate under known columns."""
    with Playbook(release=True) as book:
        book.client(parse(SELECT), bind(), execute(), SYNC)
        book.allow()
        book.up(parse(SELECT))
        book.allow()
        book.up(bind(), describe(), execute(), SYNC)
        described = row_description("id", table=oid("customers"))
        book.target(PARSED, BOUND, described, row("Ada"), complete("SELECT 1"), ready())
        book.down(PARSED, BOUND)
        released = book.effect(Release)
        assert released.result.columns[0].object == "shop/public.customers.id"
        book.take(book.relay.released(released.result, clear=False))
        book.ended("ok", "SELECT 1")
        book.down(row("Ada"), complete("SELECT 1"), ready())


def test_a_portal_executed_in_pieces_is_described_once() -> None:
    """Its rows are counted together, and it ends once."""
    with Playbook(release=True) as book:
        book.client(parse(SELECT), bind(), describe(), execute(limit=1), execute(), SYNC)
        book.allow()
        book.up(parse(SELECT))
        book.allow()
        book.up(bind(), describe(), execute(limit=1), execute(), SYNC)
        book.target(PARSED, BOUND, row_description("name"), row("Ada"), SUSPENDED, row("Eve"), complete("SELECT 1"))
        book.down(PARSED, BOUND, row_description("name"))
        released = book.effect(Release)
        book.take(book.relay.released(released.result, clear=False))
        book.down(row("Ada"), SUSPENDED)
        second = book.effect(Release)
        book.take(book.relay.released(second.result, clear=False))
        book.ended("ok", "SELECT 1")
        book.down(row("Eve"), complete("SELECT 1"))


@pytest.mark.parametrize("sent", [row("x"), complete("SELECT 1"), ready(), PARSED, copy_data(b"x"), COPY_DONE])
def test_what_nobody_asked_for_is_an_error(sent: bytes) -> None:
    """Nobody guesses whose reply it is."""
    book = Playbook()
    book.target(sent)
    book.broken("asked for")


def test_rows_without_a_description_are_an_error_when_they_need_the_gate() -> None:
    """What they hold cannot be told."""
    book = Playbook(release=True)
    book.client(query(SELECT))
    book.allow()
    book.target(row("Ada"))
    book.broken("without having described")


#: What the target says to a simple query, and what is wrong with it.
MALFORMED = [
    (message(b"T", b""), "without its number of fields"),
    (message(b"T", b"\xff\xff"), "ends inside a field"),
    (message(b"T", b"\0\1name"), "ends inside a field"),
    (message(b"T", b"\0\0\0"), "bytes after its last field"),
    (message(b"C", b""), "tag does not end"),
    (message(b"C", b"SELECT 1"), "tag does not end"),
    (message(b"C", b"SELECT 1\0\0"), "tag does not end"),
    (message(b"Z", b""), "one of the statuses"),
    (message(b"Z", b"Q"), "one of the statuses"),
    (message(b"G", b""), "malformed answer to COPY"),
    (message(b"G", b"\2\0\0"), "malformed answer to COPY"),
    (message(b"H", b"\0\0\2\0\0"), "malformed answer to COPY"),
    (message(b"H", b"\0\0\1\0\7"), "malformed answer to COPY"),
    (message(b"E", b"M\0" * 65 + b"\0"), "more than 64 fields"),
    (message(b"N", b"Mx"), "without an end"),
    (message(b"A", b"\0\0\0\1c\0p\0more\0"), "malformed NotificationResponse"),
    (message(b"K", b"\0\0\0\1\0\0\0\2"), "that nothing asked for"),
    (message(b"v", b"\0\0\0\0\0\0\0\0"), "that nothing asked for"),
]


@pytest.mark.parametrize("release", [True, False])
@pytest.mark.parametrize(("sent", "why"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_answer_ends_the_session(sent: bytes, why: str, release: bool) -> None:
    """Whether anything is masked or not; what came whole before it is told first."""
    book = Playbook(release=release)
    book.client(query("SELECT 1"))
    book.allow()
    book.up(query("SELECT 1"))
    book.target(complete("SELECT 0"), sent)
    assert book.told().startswith(complete("SELECT 0"))
    book = Playbook(release=release)
    book.client(query("SELECT 1"))
    book.allow()
    book.target(sent)
    book.broken(why)


@pytest.mark.parametrize("sent", [message(b"t", b""), message(b"t", b"\0\2\0\0\0\x19"), message(b"T", b"\0\1")])
def test_a_malformed_description_of_a_statement_ends_the_session(sent: bytes) -> None:
    """It is not kept until somebody executes it."""
    book = Playbook()
    book.client(parse(SELECT), describe("S"), SYNC)
    book.allow()
    book.target(PARSED, sent)
    book.broken("the target sent a ")


def test_what_must_fail_must_fail() -> None:
    """A target that lets a refused statement's stand-in pass would leave the client without its refusal."""
    with Playbook() as book:
        book.begin()
        book.client(query(DELETE))
        book.deny()
        book.up(POISON_QUERY)
        book.target(ready("T"))
        book.broken("did not fail what must fail")


def test_a_catalogue_of_two_rows_ends_the_session() -> None:
    """It is one."""
    book = Playbook(judge=Judge(TARGET, "shop", CatalogCache(Clock()), analyze))
    book.client(query(SELECT))
    book.target(row_description("c"), row("{}"), row("{}"), complete("SELECT 2"), ready())
    book.broken("2 catalogues")


def test_nothing_is_taken_behind_the_end() -> None:
    """Neither what the client sent nor what the target did."""
    with Playbook() as book:
        book.client(query(SELECT))
        book.allow()
        book.up(query(SELECT))
        book.client(query(SELECT))
        book.allow()
        book.up(query(SELECT))
        book.client(TERMINATE, query(SELECT))
        book.up(TERMINATE)
        assert book.effect(Close).reason == "the client said goodbye"


def test_a_portal_is_ruled_on_anew_behind_code_that_is_not_seen() -> None:
    """A function may have opened its own cursor under the name: it is described anew, and masked as anything."""
    with Playbook(release=True) as book:
        book.begin()
        book.client(parse(SELECT, "s"), bind("s", "p"), parse("SELECT refund(1)", "f"), bind("f", ""), execute(), SYNC)
        for _ in range(2):
            book.allow()
            book.effect(Forward)
            book.allow()
            book.effect(Forward)
        book.up(describe(), execute(), SYNC)
        book.client(execute("p"), SYNC)
        asked = book.asks(Stage.RUN)
        assert asked.action.shape.sources is None
        assert "may have been replaced" in asked.action.shape.summary
        assert [str(access.operation) for access in asked.action.shape.accesses] == ["read"]
        book.permit(asked)
        book.ended("ok", "not run to its end")
        book.up(describe("P", "p"), execute("p"), SYNC)


def test_what_a_portal_runs_by_name_is_what_it_was_bound_to() -> None:
    """Once another statement could have changed what the name stands for, it is not executed."""
    with Playbook() as book:
        book.begin()
        book.client(query("PREPARE e AS SELECT 1"))
        book.allow()
        book.up(query("PREPARE e AS SELECT 1"))
        book.target(complete("PREPARE"), ready("T"))
        book.ended("ok", "PREPARE")
        book.down(complete("PREPARE"), ready("T"))
        book.client(parse("EXECUTE e", "s"), bind("s", "q"), SYNC)
        book.allow()
        book.up(parse("EXECUTE e", "s"))
        book.allow()
        book.up(bind("s", "q"), SYNC)
        book.target(PARSED, BOUND, ready("T"))
        book.down(PARSED, BOUND, ready("T"))
        book.client(query("DEALLOCATE e"))
        book.allow()
        book.up(query("DEALLOCATE e"))
        book.target(complete("DEALLOCATE"), ready("T"))
        book.ended("ok", "DEALLOCATE")
        book.down(complete("DEALLOCATE"), ready("T"))
        book.client(execute("q"), SYNC)
        book.up(POISON_PARSE, SYNC)
        book.target(failure(), ready("E"))
        assert b"may mean something else now" in book.told()


@pytest.mark.parametrize("sent", [PARSED, BOUND, CLOSED, SUSPENDED, message(b"V", b"\xff\xff\xff\xff")])
def test_answers_to_another_message_are_an_error(sent: bytes) -> None:
    """A simple query is not answered with the extended protocol's messages."""
    book = Playbook()
    book.client(query(SELECT))
    book.allow()
    book.target(sent)
    book.broken("answered QUERY")


def test_ready_before_everything_was_answered_is_an_error() -> None:
    """It would let the next reply settle to the wrong message."""
    book = Playbook()
    book.client(parse(SELECT), SYNC)
    book.allow()
    book.target(ready())
    book.broken("before it answered everything")


def test_an_error_at_parse_is_about_its_statement() -> None:
    """The gate is told which; of a Describe it is not, since definitions may have changed since."""
    with Playbook(release=True) as book:
        book.client(parse(SELECT, "s"), describe("S", "s"), SYNC)
        asked = book.asks()
        book.permit(asked)
        book.rest()
        book.target(failure())
        assert book.effect(Release).action_id == asked.action_id
    with Playbook(release=True) as book:
        book.client(parse(SELECT, "s"), describe("S", "s"), SYNC)
        book.allow()
        book.rest()
        book.target(PARSED, failure())
        book.down(PARSED)
        assert book.effect(Release).action_id == 0
        book.rest()


# ---------------------------------------------------------------- COPY

COPY_IN = message(b"G", b"\0\0\1\0\0")
COPY_OUT = message(b"H", b"\0\0\2\0\0\0\0")


def test_copy_in() -> None:
    """Data goes up under the permit of the COPY; whatever comes outside it is dropped as the server does."""
    text = "COPY orders (note) FROM STDIN"
    with Playbook() as book:
        book.client(query(text))
        book.allow()
        book.up(query(text))
        book.client(copy_data(b"a\n"), SYNC, FLUSH)
        book.nothing()
        book.target(COPY_IN)
        data = book.effect(Forward)
        assert (data.data, data.permit.action_id) == (copy_data(b"a\n"), 1)
        book.down(COPY_IN)
        book.client(COPY_DONE)
        book.up(COPY_DONE)
        book.target(complete("COPY 1"), ready())
        book.ended("ok", "COPY 1")
        book.down(complete("COPY 1"), ready())
        book.client(copy_data(b"noise"), COPY_DONE)


def test_a_sync_during_copy_in_is_owed_nothing() -> None:
    """The one that stood behind the Execute is ignored by the server; the one behind CopyDone is answered."""
    text = "COPY orders (note) FROM STDIN"
    with Playbook() as book:
        book.client(parse(text), bind(), execute(), SYNC)
        book.allow()
        book.up(parse(text))
        book.allow()
        book.up(bind(), execute(), SYNC)
        book.target(PARSED, BOUND, COPY_IN)
        book.down(PARSED, BOUND, COPY_IN)
        book.client(copy_data(b"a\n"), COPY_DONE, SYNC)
        book.up(copy_data(b"a\n"), COPY_DONE, SYNC)
        book.target(complete("COPY 1"), ready())
        book.ended("ok", "COPY 1")
        book.down(complete("COPY 1"), ready())
        book.target(ready())
        book.broken("asked for")


def test_a_failing_copy_in_drops_the_rest_of_the_data() -> None:
    """The target reads no more of it, and a COPY that failed carries nothing further up."""
    text = "COPY orders (note) FROM STDIN"
    with Playbook() as book:
        book.client(query(text))
        book.allow()
        book.up(query(text))
        book.target(COPY_IN)
        book.down(COPY_IN)
        book.client(copy_data(b"a\n"))
        book.up(copy_data(b"a\n"))
        book.target(failure("22P02"), ready())
        book.ended("error", "22P02")
        book.down(failure("22P02"), ready())
        book.client(copy_data(b"b\n"), COPY_DONE, query(SELECT))
        book.asks()


def test_copy_out_passes_the_gate() -> None:
    """Its rows come with the columns of the relation; what is not changed stays as it was."""
    text = "COPY customers (name, email) TO STDOUT"
    with Playbook(release=True) as book:
        book.client(query(text))
        book.allow()
        book.up(query(text))
        book.target(COPY_OUT, copy_data(b"A\\tda\ta@x.org\n"), copy_data(b"\\N\t\n"), COPY_DONE, complete("COPY 2"))
        book.down(COPY_OUT)
        batch = book.effect(Release).result
        assert [c.object for c in batch.columns] == ["shop/public.customers.name", "shop/public.customers.email"]
        assert [batch.rows.column(i) for i in (0, 1)] == [[b"A\tda", None], [b"a@x.org", b""]]
        masked = Result(batch.kind, batch.columns, batch.rows.replaced({1: [b"*\n*", b""]}))
        book.take(book.relay.released(masked, clear=False))
        book.down(copy_data(b"A\\tda\t*\\n*\n"), copy_data(b"\\N\t\n"), COPY_DONE, complete("COPY 2"))


def test_copies_of_one_text_are_told_apart() -> None:
    """Each has its own columns and format, in the order in which they begin."""
    text = "COPY orders (note, id) TO STDOUT; SELECT 1; COPY (SELECT 1, email FROM customers) TO STDOUT (FORMAT csv)"
    with Playbook(release=True) as book:
        book.client(query(text))
        book.allow()
        book.up(query(text))
        book.target(COPY_OUT, copy_data(b"n\t1\n"))
        book.down(COPY_OUT)
        first = book.effect(Release).result
        assert [c.object for c in first.columns] == ["shop/public.orders.note", "shop/public.orders.id"]
        book.take(book.relay.released(first, clear=True))
        book.down(copy_data(b"n\t1\n"))
        book.target(COPY_DONE, complete("COPY 1"), COPY_OUT, copy_data(b'1,"a"\n'))
        book.down(COPY_DONE, complete("COPY 1"), COPY_OUT)
        second = book.effect(Release).result
        assert [c.object for c in second.columns] == [None, "shop/public.customers.email"]
        assert [second.rows.column(i) for i in (0, 1)] == [[b"1"], [b"a"]]
        book.take(book.relay.released(second, clear=True))
        book.down(copy_data(b'1,"a"\n'))
        book.target(COPY_DONE, complete("COPY 1"), COPY_OUT)
        book.broken("nothing asked for")


def test_what_is_known_of_a_copy_is_known_anew_when_it_is_bound() -> None:
    """Definitions that changed since it was parsed make the columns another's."""
    shop = judge()
    with Playbook(release=True, judge=shop) as book:
        book.client(parse("COPY customers TO STDOUT", "c"), SYNC)
        book.allow()
        book.up(parse("COPY customers TO STDOUT", "c"), SYNC)
        book.target(PARSED, ready())
        book.down(PARSED, ready())
        book.client(describe("S", "c"))
        book.up(describe("S", "c"))
        shop.doubt()
        book.client(bind("c"))
        shape = book.asks().action.shape
        assert isinstance(shape, SessionShape)
        assert [copied.columns for copied in shape.copies] == [None]


def test_a_prepared_statement_is_judged_by_the_catalogue_of_its_bind() -> None:
    """A client that only ever binds still notices what others changed: here that a view draws from elsewhere."""
    cache = CatalogCache(Clock())
    text = "SELECT upper(email) FROM v_of_v"
    with Playbook(judge=judge(cache)) as book:
        book.client(parse(text, "s"), SYNC)
        asked = book.asks()
        assert asked.action.shape.outputs is not None
        assert CUSTOMERS_EMAIL in (asked.action.shape.outputs[0] or ())
        book.permit(asked)
        book.target(PARSED, ready())
        book.rest()
        cache.drop(TARGET.name, "shop")
        book.client(bind("s"), execute(), SYNC)
        book.up(query(CATALOG_QUERY))
        changed = json.loads(document())
        changed["views"] = [[oid("v_of_v"), oid("orders"), 4]]
        book.target(row_description("c"), row(json.dumps(changed)), complete("SELECT 1"), ready())
        outputs = book.asks().action.shape.outputs
        assert outputs is not None
        assert CUSTOMERS_EMAIL not in (outputs[0] or ())
        assert "shop/public.orders.note" in (outputs[0] or ())


def test_the_catalogue_is_read_without_touching_the_unnamed_statement() -> None:
    """A Bind of it may be what comes: the question goes up inside the extended protocol."""
    cache = CatalogCache(Clock())
    with Playbook(judge=judge(cache)) as book:
        book.client(parse(SELECT), SYNC)
        book.allow()
        book.target(PARSED, ready())
        book.rest()
        cache.drop(TARGET.name, "shop")
        book.client(bind(), execute(), SYNC)
        assert bytes(book.told_up()[0] for _ in range(6)) == b"PBECCH"
        book.target(PARSED, BOUND, row(document(settled=False)), complete("SELECT 1"), CLOSED)
        book.nothing()
        book.target(CLOSED)
        book.allow()
        book.up(bind(), execute(), SYNC)


def test_a_prepared_statement_is_judged_anew_once_a_temporary_table_hides_its_own() -> None:
    """The server plans it anew, over what now stands before the relation of the catalogue."""
    with Playbook() as book:
        book.client(parse("SELECT upper(name) FROM customers", "s"), SYNC)
        book.allow()
        book.target(PARSED, ready())
        book.rest()
        book.client(query("CREATE TEMP TABLE customers AS SELECT email AS name FROM public.customers"))
        book.allow()
        book.target(complete("SELECT 1"), ready())
        book.rest()
        book.client(bind("s"))
        assert book.asks().action.shape.sources is None


def test_definitions_that_change_before_the_rows_come() -> None:
    """Nothing that was known of the columns counts any more."""
    shop = judge()
    book = Playbook(release=True, judge=shop)
    book.client(query("COPY customers (name, email) TO STDOUT"))
    book.allow()
    book.rest()
    shop.doubt()
    book.target(COPY_OUT, copy_data(b"a\tb\n"))
    book.down(COPY_OUT)
    columns = book.effect(Release).result.columns
    assert [(c.object, c.name, c.kind) for c in columns] == [
        (None, f"column {i}", ValueKind.STRUCTURED) for i in (1, 2)
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("COPY orders TO STDOUT (ENCODING 'LATIN1')", "ENCODING UTF8"),
        ("COPY orders TO STDOUT (DELIMITER 'ä')", "single-byte delimiter"),
        ("SELECT 1; COPY orders TO STDOUT (FORMAT 'json')", "formats text, csv and binary"),
    ],
)
def test_a_copy_that_cannot_be_masked_is_refused_before_it_runs(text: str, why: str) -> None:
    """The connection goes on; where nothing is masked it runs."""
    with Playbook(release=True) as book:
        book.client(query(text))
        assert why.encode() in book.told()
        book.client(query(SELECT))
        book.asks()
    with Playbook() as book:
        book.client(query(text))
        book.asks()


@pytest.mark.parametrize("response", [message(b"H", b"\1\0\1\0\1"), message(b"H", b"\0\0\3\0\0\0\0\0\0")])
def test_a_copy_out_that_is_not_as_announced(response: bytes) -> None:
    """Another format ends the session; another number of columns makes all of them computed."""
    book = Playbook(release=True)
    book.client(query("COPY orders (id) TO STDOUT"))
    book.allow()
    if response[5] == 1:
        book.target(response)
        book.broken("another format")
        return
    book.target(response, copy_data(b"1\t2\t3\n"))
    book.up(query("COPY orders (id) TO STDOUT"))
    book.down(response)
    assert [column.object for column in book.effect(Release).result.columns] == [None] * 3


# ---------------------------------------------------------------- names


def test_sql_prepare_under_a_name_of_the_protocol_is_ruled_on_as_both() -> None:
    """Parse x as SELECT, close it, PREPARE x AS DELETE: a Bind of x must be judged as the DELETE that it runs."""
    prepare = "PREPARE x AS DELETE FROM orders"
    with Playbook() as book:
        book.client(parse(SELECT, "x"), SYNC)
        book.allow()
        book.up(parse(SELECT, "x"), SYNC)
        book.target(PARSED, ready())
        book.down(PARSED, ready())
        book.client(query("DEALLOCATE x"))
        book.allow()
        book.up(query("DEALLOCATE x"))
        book.target(complete("DEALLOCATE"), ready())
        book.ended("ok", "DEALLOCATE")
        book.down(complete("DEALLOCATE"), ready())
        book.client(query(prepare))
        book.allow()
        book.up(query(prepare))
        book.target(complete("PREPARE"), ready())
        book.ended("ok", "PREPARE")
        book.down(complete("PREPARE"), ready())
        book.client(bind("x"), execute(), SYNC)
        asked = book.asks(Stage.RUN)
        operations = {a.operation for a in asked.action.shape.accesses if a.object == "shop/public.orders"}
        assert Operation.DELETE in operations
        book.take(book.relay.ruled(asked.action_id, DENIED))
        book.refused(ready("I"))


def test_sql_execute_of_a_name_of_the_protocol_is_ruled_on_as_what_it_runs() -> None:
    """Parse and EXECUTE share one namespace."""
    with Playbook() as book:
        book.client(parse(DELETE, "x"), SYNC)
        book.allow()
        book.up(parse(DELETE, "x"), SYNC)
        book.target(PARSED, ready())
        book.down(PARSED, ready())
        book.client(query("EXECUTE x"))
        assert Operation.DELETE in {a.operation for a in book.asks().action.shape.accesses}


def test_a_parse_that_is_not_confirmed_is_relied_on_in_its_own_segment_only() -> None:
    """Were the replacing Parse to fail, the name would still stand for what it stood for before."""
    with Playbook() as book:
        book.client(parse(SELECT, "x"), SYNC, bind("x"), execute(), SYNC)
        book.allow()
        book.up(parse(SELECT, "x"), SYNC)
        book.nothing()
        book.target(PARSED, ready())
        book.down(PARSED, ready())
        book.asks(Stage.RUN)


@pytest.mark.parametrize("behind", [False, True])
def test_a_bind_that_failed_or_was_skipped_leaves_no_portal(behind: bool) -> None:
    """An older portal of that name may live on at the target: its rows would be masked as another statement's."""
    with Playbook() as book:
        book.begin()
        book.client(parse(SELECT, "s"), bind("s", "p"), SYNC)
        book.allow()
        book.up(parse(SELECT, "s"))
        book.allow()
        book.up(bind("s", "p"), SYNC)
        book.target(PARSED, BOUND, ready("T"))
        book.down(PARSED, BOUND, ready("T"))
        book.client(*[execute("p")] * behind, bind("s", "p"), SYNC)
        book.up(*[execute("p")] * behind)
        book.allow()
        book.ended("ok", "not run to its end")
        book.up(bind("s", "p"), SYNC)
        book.target(failure("42P03"), ready("E"))
        book.ended("error", "not run: an earlier message of the pipeline failed" if behind else "42P03")
        book.down(failure("42P03"), ready("E"))
        book.client(query("ROLLBACK TO s"))
        book.allow()
        book.up(query("ROLLBACK TO s"))
        book.target(complete("ROLLBACK"), ready("T"))
        book.ended("ok", "ROLLBACK")
        book.down(complete("ROLLBACK"), ready("T"))
        book.client(execute("p"))
        book.up(POISON_PARSE)
        book.target(failure())
        assert b"34000" in book.told()


def test_a_cursor_that_sql_declared_is_not_the_portal_of_its_name() -> None:
    """Its rows would be masked as those of the statement that Bind gave the name; FETCH is ruled on."""
    with Playbook() as book:
        book.begin()
        book.client(parse(SELECT, "s"), bind("s", "p"), SYNC)
        book.allow()
        book.up(parse(SELECT, "s"))
        book.allow()
        book.up(bind("s", "p"), SYNC)
        book.target(PARSED, BOUND, ready("T"))
        book.down(PARSED, BOUND, ready("T"))
        declare = "DECLARE p CURSOR FOR SELECT email FROM customers"
        book.client(query("CLOSE p; " + declare))
        book.allow()
        book.up(query("CLOSE p; " + declare))
        book.target(complete("CLOSE CURSOR"), complete("DECLARE CURSOR"), ready("T"))
        book.ended("ok", "DECLARE CURSOR")
        book.down(complete("CLOSE CURSOR"), complete("DECLARE CURSOR"), ready("T"))
        book.client(execute("p"))
        book.up(POISON_PARSE)
        book.target(failure())
        assert b"34000" in book.told()


@pytest.mark.parametrize("sent", [parse(SELECT, "\u00e4" * 32), bind(portal="a" * 64)])
def test_names_that_the_server_would_cut_are_refused(sent: bytes) -> None:
    """Two names of 64 bytes may be one to it: what one was permitted for would run as the other."""
    with Playbook() as book:
        book.client(parse(SELECT), SYNC)
        book.allow()
        book.up(parse(SELECT), SYNC)
        book.target(PARSED, ready())
        book.down(PARSED, ready())
        book.client(sent, SYNC)
        assert b"longer than 63 bytes" in book.told()


def test_portals_are_bounded() -> None:
    """A transaction may hold many, not any number."""
    with Playbook() as book:
        book.begin()
        book.client(parse(SELECT, "s"), FLUSH)
        book.allow()
        book.up(parse(SELECT, "s"), FLUSH)
        book.target(PARSED)
        book.down(PARSED)
        for number in range(MAX_NAMES):
            book.client(bind("s", f"p{number}"))
            book.allow()
            book.effect(Forward)
            book.target(BOUND)
            book.down(BOUND)
        book.client(bind("s", "more"))
        book.up(POISON_PARSE)
        book.target(failure())
        assert b"more than 4096 portals" in book.told()


@pytest.mark.parametrize(("sent", "code"), [(bind("nope"), b"26000"), (execute("nope"), b"34000")])
def test_names_that_are_not_known_are_answered_as_the_server_does(sent: bytes, code: bytes) -> None:
    """And nothing goes up."""
    with Playbook() as book:
        book.client(sent, SYNC)
        assert code in book.told()


# ---------------------------------------------------------------- the rest


def test_function_call_is_ruled_on_by_its_oid() -> None:
    """It passes SQL by, so it is EXECUTE and UNKNOWN; its result passes the gate."""
    call = message(b"F", (1598).to_bytes(4, "big") + b"\0\0\0\0\0\0")
    with Playbook(release=True) as book:
        book.client(call)
        asked = book.asks(Stage.RUN)
        assert {a.operation for a in asked.action.shape.accesses} == {Operation.EXECUTE, Operation.UNKNOWN}
        book.permit(asked)
        book.up(call)
        book.target(message(b"V", b"\0\0\0\3abc"))
        released = book.effect(Release).result
        assert released.rows.column(0) == [b"abc"]
        masked = Result(released.kind, released.columns, released.rows.replaced({0: [None]}))
        book.take(book.relay.released(masked, clear=False))
        book.down(message(b"V", b"\xff\xff\xff\xff"))
        book.target(ready())
        book.ended("ok", "")
        book.down(ready())


def test_a_denied_function_call_does_not_go_up() -> None:
    """As a denied query."""
    with Playbook() as book:
        book.client(message(b"F", b"\0\0\6\x3e\0\0\0\0\0\0"))
        book.deny()
        book.refused(ready("I"))


def test_terminate_ends_the_session() -> None:
    """It is passed on, and both legs close."""
    with Playbook() as book:
        book.client(TERMINATE)
        book.up(TERMINATE)
        book.effect(Close)


def test_any_chunking_gives_the_same() -> None:
    """A pipeline fed byte by byte on both sides."""
    said = parse(SELECT) + bind() + execute() + SYNC
    answered = PARSED + BOUND + row("Ada") + complete("SELECT 1") + ready()
    with Playbook() as book:
        for byte in said:
            book.client(bytes([byte]))
            if book.asking:
                book.allow()
                book.effect(Forward)
        book.up(execute(), SYNC)
        for byte in answered[: -len(ready()) - len(complete("SELECT 1"))]:
            book.target(bytes([byte]))
        book.down(PARSED, BOUND, row("Ada"))
        book.target(complete("SELECT 1"), ready())
        book.ended("ok", "SELECT 1")
        book.down(complete("SELECT 1"), ready())


def test_poison_is_a_syntax_error_to_the_parser_of_the_server() -> None:
    """What stands in a refused statement's place must not run, whatever the server."""
    for poison in (POISON_QUERY, POISON_PARSE):
        text = re.sub(rb"^[QP]....\0?", b"", poison, flags=re.DOTALL).rstrip(b"\0").decode()
        with pytest.raises(ValueError, match="syntax"):
            analyze(text)


def test_a_forward_carries_the_permit_of_its_action() -> None:
    """The driver renews it by that number."""
    with Playbook() as book:
        book.client(query(SELECT))
        asked = book.asks()
        book.permit(asked)
        assert book.effect(Forward).permit == Permit("session", asked.action_id, release=False, version=1)
