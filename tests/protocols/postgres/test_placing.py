"""Where unqualified names come to be: the server is asked directly before, and its answer is good for one message."""

import pytest

from ostiary.core import Access
from ostiary.protocols.postgres.catalog import CATALOG_QUERY
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.placing import QUERY
from ostiary.wire.contract import Withdraw
from tests.protocols.postgres.playbook import (
    BOUND,
    CLOSED,
    DENIED,
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
from tests.protocols.postgres.shop import document, judge

CREATE = "CREATE TABLE t (a int)"
ASK = message(b"Q", QUERY)


def does(book: Playbook) -> list[str]:
    """Accesses of what is asked next; it is permitted."""
    asked = book.asks()
    book.permit(asked)
    return [f"{a.operation} {a.object.removeprefix('shop/')}" for a in asked.action.shape.accesses]


def denied(book: Playbook) -> tuple[Access, ...]:
    """The same, refused."""
    asked = book.asks()
    book.take(book.relay.ruled(asked.action_id, DENIED))
    book.rest()
    return asked.action.shape.accesses


def answer(schema: str | None) -> tuple[bytes, ...]:
    """To the simple query."""
    return row_description("current_schema"), row(schema), complete("SELECT 1"), ready()


def asked_inside(book: Playbook, schema: str | None) -> None:
    """The question went up inside the extended protocol; this is its answer."""
    assert bytes(book.told_up()[0] for _ in range(6)) == b"PBECCH"
    book.target(PARSED, BOUND, row(schema), complete("SELECT 1"), CLOSED, CLOSED)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (CREATE, ["define app.t"]),
        ("CREATE TABLE customers (a int)", ["define app.customers"]),
        ("CREATE VIEW v AS SELECT email FROM customers", ["define app.v", "read public.customers"]),
        ("CREATE OR REPLACE VIEW v_customers AS SELECT 1", ["define app.v_customers"]),
        ("CREATE SEQUENCE s", ["define app.s"]),
        ("CREATE FUNCTION refund() RETURNS int LANGUAGE sql AS 'SELECT 1'", ["define app.refund()"]),
        ("SELECT id INTO t FROM customers", ["define app.t", "read public.customers"]),
        ("CREATE TABLE t AS SELECT id FROM customers", ["define app.t", "read public.customers"]),
        ("CREATE MATERIALIZED VIEW t AS SELECT id FROM customers", ["define app.t", "read public.customers"]),
        ("CREATE TABLE c () INHERITS (customers)", ["define app.c", "define public.customers"]),
        ("BEGIN; CREATE TABLE a (); CREATE TABLE b ()",
         ["session session/transaction", "define app.a", "define app.b"]),
        ("CREATE TABLE a (); COMMENT ON TABLE public.orders IS ''; CREATE TABLE b ()",
         ["define app.a", "define public.orders", "define app.b"]),
        # What may move the creation schema, before or inside.
        ("SET search_path = audit; CREATE TABLE t ()", ["session setting/search_path", "define ?.t"]),
        ("SELECT set_config('search_path', 'audit', false); CREATE TABLE t ()",
         ["session setting/search_path", "define ?.t"]),
        ("SELECT refund(1); CREATE TABLE t ()",
         ["execute public.refund()", "unknown unknown/public.refund()", "define ?.t"]),
        ("CREATE TABLE a (); COMMIT; CREATE TABLE b ()",
         ["define app.a", "session session/transaction", "define ?.b"]),
        ("CREATE SCHEMA audit2; CREATE TABLE t ()", ["define audit2", "define ?.t"]),
        ("INSERT INTO orders VALUES (1); CREATE TABLE t ()", ["insert public.orders", "define ?.t"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_simple_query(text: str, found: list[str]) -> None:
    """What it makes is in the schema the server says, but where that may not hold until it is made."""
    with Playbook() as book:
        book.client(query(text))
        book.up(ASK)
        book.target(*answer("app"))
        assert does(book) == found
        book.up(query(text))
        book.client(query("SELECT 1"))
        book.target(complete("X"), ready())
        book.rest()


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE app.t ()",
        "CREATE TEMP TABLE t ()",
        "CREATE SCHEMA app CREATE TABLE t ()",
        "DO $$ BEGIN CREATE TABLE t (); END $$",
        "ALTER TABLE orders RENAME TO t",
        "EXPLAIN CREATE TABLE t AS SELECT 1",
        "CREATE INDEX i ON orders (id)",
        "CREATE TYPE mood AS ENUM ('a')",
        "CREATE TABLE t AS SELECT set_config('search_path', 'audit', false)",
        "CREATE TABLE t AS SELECT refund(1)",
        "CREATE TABLE t AS SELECT refund FROM v_refunds",
        "CREATE TEMP TABLE x (a int); CREATE VIEW t AS SELECT a FROM x",
    ],
)
def test_nothing_is_asked_where_the_answer_tells_nothing(text: str) -> None:
    """The schema is named, is another, or may change before."""
    with Playbook() as book:
        book.client(query(text))
        assert "define app.t" not in does(book) or "app.t" in text
        book.up(query(text))


@pytest.mark.parametrize("schema", [None, "pg_temp_3"])
def test_no_schema_of_the_targets(schema: str | None) -> None:
    """Then nobody knows, and it is asked again the next time."""
    with Playbook() as book:
        for _ in range(2):
            book.client(query(CREATE))
            book.up(ASK)
            book.target(*answer(schema))
            assert [a.object for a in denied(book)] == ["shop/?.t"]


def test_the_answer_is_for_one_message() -> None:
    """What one session was told is no other's, and not its own a statement later."""
    shop = judge()
    with Playbook(judge=shop) as book:
        for schema in ("app", "audit"):
            book.client(query(CREATE))
            book.up(ASK)
            book.target(*answer(schema))
            assert [a.object for a in denied(book)] == [f"shop/{schema}.t"]
            assert shop.creation is None
    assert [a.object for a in shop.statement(CREATE).shape.accesses] == ["shop/?.t"]


def test_the_extended_protocol() -> None:
    """Asked at Parse, in its place; Bind behind it in the segment needs no more, a later one asks again."""
    with Playbook() as book:
        book.client(parse(CREATE, "s"), bind("s"), execute(), SYNC)
        asked_inside(book, "app")
        assert does(book) == ["define app.t"]
        book.up(parse(CREATE, "s"))
        assert does(book) == ["define app.t"]
        book.up(bind("s"), execute(), SYNC)
        book.target(PARSED, BOUND, complete("CREATE TABLE"), ready())
        book.rest()
        book.client(bind("s"), execute(), SYNC)
        book.up(query(CATALOG_QUERY))
        book.target(row_description("c"), row(document()), complete("SELECT 1"), ready())
        asked_inside(book, "audit")
        assert does(book) == ["define audit.t"]
        book.up(bind("s"), execute(), SYNC)


def test_what_was_bound_before_others_ran_is_refused() -> None:
    """Bind the CREATE, run SET search_path, run the CREATE: it would be made elsewhere."""
    with Playbook() as book:
        book.client(parse("SET search_path = audit", "x"))
        book.allow()
        book.rest()
        book.client(bind("x", "x"))
        book.allow()
        book.target(PARSED, BOUND)
        book.rest()
        book.client(parse(CREATE, "s"), bind("s", "s"), execute("x"), execute("s"), SYNC)
        asked_inside(book, "app")
        assert does(book) == ["define app.t"]
        book.up(parse(CREATE, "s"))
        assert does(book) == ["define app.t"]
        book.up(bind("s", "s"), execute("x"))
        assert b"denied by ostiary" in book.told_up()
        book.up(SYNC)


def test_the_answer_does_not_outlive_an_execute() -> None:
    """A portal that is run between Parse and Bind may move the creation schema."""
    with Playbook() as book:
        book.client(parse("SET search_path = audit", "x"))
        book.allow()
        book.rest()
        book.client(bind("x", "x"))
        book.allow()
        book.target(PARSED, BOUND)
        book.rest()
        book.client(parse(CREATE, "s"))
        asked_inside(book, "app")
        assert does(book) == ["define app.t"]
        book.up(parse(CREATE, "s"))
        book.client(execute("x"))
        book.up(execute("x"))
        book.target(PARSED, complete("SET"))
        book.rest()
        book.client(bind("s"))
        asked_inside(book, "audit")
        assert does(book) == ["define audit.t"]
        book.up(bind("s"))


def test_where_it_cannot_be_asked() -> None:
    """Inside an aborted transaction, and for a simple query inside a pipeline."""
    with Playbook() as book:
        book.client(query("BEGIN"))
        book.allow()
        book.target(failure(), ready("E"))
        book.rest()
        book.client(query(CREATE))
        assert does(book) == ["define ?.t"]
        book.rest()
    with Playbook() as book:
        book.client(parse("SELECT 1"))
        book.allow()
        book.rest()
        book.client(query(CREATE))
        assert does(book) == ["define ?.t"]
        book.rest()


def test_the_question_fails() -> None:
    """So has the statement it was asked for, once, and the connection goes on."""
    with Playbook() as book:
        book.client(query(CREATE))
        book.up(ASK)
        book.target(failure("57014"), ready())
        book.effect(Withdraw)
        book.down(failure("57014"), ready())
        book.client(parse(CREATE), bind(), SYNC)
        for _ in b"PBECCH":
            book.told_up()
        book.target(failure("57014"))
        book.effect(Withdraw)
        book.up(SYNC)
        book.down(failure("57014"))
        book.target(ready())
        book.down(ready())


def test_a_cancel_meanwhile() -> None:
    """The statement is withdrawn; the answer that comes later is nobody's."""
    with Playbook() as book:
        book.client(query(CREATE))
        book.up(ASK)
        book.take(book.relay.interrupted())
        book.effect(Withdraw)
        assert b"denied by ostiary" in book.told_up()
        book.target(*answer("app"), failure(), ready())
        assert b"57014" in book.told()
