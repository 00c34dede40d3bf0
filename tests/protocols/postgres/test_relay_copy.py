"""COPY in and out."""

import json

import pytest

from ostiary.core import Result, ValueKind
from ostiary.protocols.postgres.catalog import CATALOG_QUERY, CatalogCache
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.shapes import SessionShape
from ostiary.wire.contract import Forward, Release
from tests.protocols.postgres.playbook import (
    BOUND,
    CLOSED,
    COPY_DONE,
    FLUSH,
    PARSED,
    SYNC,
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
from tests.protocols.postgres.shop import TARGET, Clock, document, judge, oid

SELECT = "SELECT name FROM customers"
CUSTOMERS_EMAIL = "shop/public.customers.email"


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
        changed["definitions"] = [[oid("v_of_v"), "SELECT note AS email FROM orders"]]
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
