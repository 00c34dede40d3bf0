"""What is refused: what goes up instead, and that both sides agree on the status."""

import pytest

from ostiary.core import Stage
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.catalog import CatalogCache
from ostiary.protocols.postgres.requests import POISON_PARSE, POISON_QUERY
from ostiary.protocols.postgres.statements import Judge
from tests.protocols.postgres.playbook import (
    BOUND,
    DENIED,
    PARSED,
    SYNC,
    Playbook,
    bind,
    complete,
    describe,
    execute,
    failure,
    parse,
    query,
    ready,
    row,
)
from tests.protocols.postgres.shop import TARGET, Clock, document

DELETE = "DELETE FROM orders"
SELECT = "SELECT name FROM customers"


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
