"""Results on their way to the client."""

import pytest

from ostiary.core import Refusal, RefusalKind, Result, Stage
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.catalog import CatalogCache
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.requests import POISON_PARSE, POISON_QUERY
from ostiary.protocols.postgres.statements import Judge
from ostiary.sql import analyze
from ostiary.wire.contract import Close, Forward, Release
from tests.protocols.postgres.playbook import (
    BOUND,
    CLOSED,
    COPY_DONE,
    PARSED,
    SUSPENDED,
    SYNC,
    TERMINATE,
    Playbook,
    bind,
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
from tests.protocols.postgres.shop import TARGET, Clock, oid

DELETE = "DELETE FROM orders"
SELECT = "SELECT name FROM customers"
NOTICE = message(b"N", b"SNOTICE\0VNOTICE\0C00000\0Mhello\0Fpl_exec.c\0\0")


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
