"""Pipelines: order, errors that skip, and what has to wait."""

import pytest

from ostiary.core import Stage
from ostiary.protocols.postgres.catalog import CATALOG_QUERY, CatalogCache
from ostiary.protocols.postgres.requests import MAX_INBOX_BYTES
from ostiary.protocols.postgres.statements import Judge
from ostiary.sql import analyze
from ostiary.wire.contract import ProtocolError, Side
from tests.protocols.postgres.playbook import (
    BOUND,
    DENIED,
    FLUSH,
    PARSED,
    SYNC,
    Playbook,
    bind,
    complete,
    execute,
    failure,
    parse,
    query,
    ready,
    row,
    row_description,
)
from tests.protocols.postgres.shop import TARGET, Clock, document

DELETE = "DELETE FROM orders"
SELECT = "SELECT name FROM customers"


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
