"""The judge: names resolved as the server would, one shape a statement, and what a session's own doings change."""

import json
from typing import Any

import pytest

from ostiary.core import Action, Operation, Parameter
from ostiary.protocols.postgres import catalog as catalogs
from ostiary.protocols.postgres.catalog import Catalog, CatalogCache
from ostiary.protocols.postgres.shapes import SessionShape
from ostiary.protocols.postgres.statements import MAX_NAMES, Judge
from ostiary.sql import analyze
from ostiary.wire.contract import ProtocolError
from tests.protocols.postgres.shop import RELATIONS, TARGET, Clock, document, judge, oid, row


def accesses(action: Action) -> list[str]:
    """What the action does, as `read public.customers`."""
    return [f"{a.operation} {a.object.removeprefix('shop/')}" for a in action.shape.accesses]


def stale(shop: Judge) -> bool:
    """`stale` as a call: it changes by itself."""
    return shop.stale


def learn(shop: Judge, text: str | None = None) -> None:
    """Ask for the catalogue and get it."""
    assert shop.catalog_query
    shop.learn([row(document() if text is None else text)])


def status(name: str, value: str) -> bytes:
    """A ParameterStatus message."""
    body = name.encode() + b"\0" + value.encode() + b"\0"
    return b"S" + (len(body) + 4).to_bytes(4, "big") + body


# ---------------------------------------------------------------- one shape


def test_equal_statements_share_one_shape() -> None:
    """Statements that differ in constants only have one shape, in every session of the target."""
    cache = CatalogCache(Clock())
    one, other = judge(cache), judge(cache)
    first = one.statement("SELECT note FROM orders WHERE id = 1")
    assert one.statement("SELECT note FROM orders WHERE id = 1") is first
    assert other.statement("SELECT note FROM orders WHERE id = 22").shape is first.shape
    assert other.statement("SELECT note FROM orders WHERE id = 22").text.endswith("22")
    assert one.statement("SELECT note FROM orders WHERE id = 1 OR id = 2").shape is not first.shape


def test_what_constants_decide_is_told_apart() -> None:
    """Settings and sequences are named by constants: no template stands for two of them."""
    shop = judge()
    assert accesses(shop.statement("SET role = 'a'")) == ["admin role/a"]
    assert accesses(shop.statement("SET role = 'b'")) == ["admin role/b"]
    assert accesses(shop.statement("SELECT set_config('work_mem', '1', true)")) == ["session setting/work_mem"]
    assert accesses(shop.statement("SELECT set_config('role', '1', true)")) == ["admin role/1"]


def test_parameters_and_constants_are_not_one() -> None:
    """`$1` is not the constant that normalising would make of it."""
    shop = judge()
    assert shop.statement('SELECT "note" FROM orders WHERE id = 5').shape.accesses
    with_parameter = shop.statement('SELECT "note" FROM orders WHERE id = $1')
    assert with_parameter.shape is not shop.statement('SELECT "note" FROM orders WHERE id = 5').shape


# ---------------------------------------------------------------- the catalogue


def test_a_name_stands_for_every_relation_of_that_name() -> None:
    """search_path may be anything: all of them must be permitted."""
    assert accesses(judge().statement("SELECT * FROM log")) == ["read audit.log", "read public.log"]


def test_before_the_catalogue_is_read_nothing_is_told_apart() -> None:
    """Without a catalogue names stay unresolved, sources cannot be told, and a built-in may be anyone's."""
    blind = Judge(TARGET, "shop", CatalogCache(Clock()), analyze)
    action = blind.statement("SELECT lower(name) FROM customers")
    assert accesses(action) == ["read ?.customers", "execute ?.lower()"]
    assert action.shape.sources is None
    assert blind.stamp is None
    assert blind.origin(oid("customers"), 3) == (None, ())
    assert blind.statement("SELECT 1") is not blind.statement("SELECT 1")


@pytest.mark.parametrize("cell", ["", "null", "[]", "{}", '{"relations": 5}', "nonsense"])
def test_a_catalogue_that_cannot_be_read_ends_the_session(cell: str) -> None:
    """Nothing can be judged by half a catalogue."""
    with pytest.raises(ProtocolError, match="catalogue could not be read"):
        judge(text=cell)


def test_a_change_of_definitions_is_seen_at_once() -> None:
    """From the moment it is permitted until the catalogue is read again, the snapshot is not believed."""
    shop = judge()
    before = shop.statement("SELECT count(*) FROM orders").shape
    assert shop.statement("CREATE VIEW v2 AS SELECT 1").shape.context["changes"] is True
    shop.doubt()
    assert stale(shop)
    doubted = shop.statement("SELECT count(*) FROM orders").shape
    assert doubted.sources is None
    assert Operation.EXECUTE in {access.operation for access in doubted.accesses}
    shop.forget()
    assert stale(shop)
    learn(shop, document(extra=(("public", "v2", "v", ("x",)),)))
    assert not stale(shop)
    assert accesses(shop.statement("SELECT * FROM v2")) == ["read public.v2"]
    assert shop.statement("SELECT count(*) FROM orders").shape is not before


def test_other_sessions_read_it_anew_and_share_it() -> None:
    """A change through one session makes every other read the catalogue again; one reading serves all."""
    cache = CatalogCache(Clock())
    one, other, third = judge(cache), judge(cache), judge(cache)
    one.forget()
    assert stale(other)
    learn(other, document(extra=(("public", "new", "r", ("x",)),)))
    assert not stale(other)
    assert not stale(third)
    assert accesses(third.statement("SELECT * FROM new")) == ["read public.new"]
    assert stale(one)


def test_what_may_be_undone_is_nobody_elses() -> None:
    """A catalogue read inside a transaction shows uncommitted definitions: it stays with its session."""
    cache = CatalogCache(Clock())
    evil = judge(cache)
    evil.statement("CREATE OR REPLACE VIEW v_customers AS SELECT 1")
    evil.forget()
    learn(evil, document(settled=False, extra=(("public", "mine", "r", ()),)))
    assert accesses(evil.statement("SELECT FROM mine")) == ["read public.mine"]
    fresh = Judge(TARGET, "shop", cache, analyze)
    assert stale(fresh)
    # And the end of the transaction puts it in doubt for the session itself.
    assert evil.statement("ROLLBACK").shape.context["changes"] is True
    evil.forget()
    learn(evil)
    assert accesses(evil.statement("SELECT FROM mine")) == ["read ?.mine"]
    assert evil.statement("ROLLBACK").shape.context["changes"] is False


def test_a_reading_that_a_change_overtook_is_not_shared() -> None:
    """The answer may be older than the change: its reader believes it for a second, nobody else at all."""
    clock = Clock()
    cache = CatalogCache(clock)
    slow, quick = judge(cache), judge(cache)
    quick.forget()
    assert stale(slow)
    assert slow.catalog_query
    quick.forget()
    slow.learn([row(document())])
    assert not stale(slow)
    assert stale(Judge(TARGET, "shop", cache, analyze))
    clock.now += 1
    assert stale(slow)


def test_an_old_catalogue_is_read_by_one_session_for_all() -> None:
    """After its time one session reads it anew; the others go on for a while, then another tries."""
    clock = Clock()
    cache = CatalogCache(clock)
    one, other = judge(cache), judge(cache)
    shape = one.statement("SELECT 1 FROM orders").shape
    clock.now += catalogs.MAX_AGE
    assert stale(one)
    assert stale(one)
    assert not stale(other)
    clock.now += catalogs.READING
    assert stale(other)
    learn(other)
    # Nothing had changed: what statements came to is still known.
    assert other.statement("SELECT 1 FROM orders").shape is shape
    learn(one)
    assert not stale(one)


def test_the_cache_is_bounded() -> None:
    """Many databases do not make it grow."""
    cache = CatalogCache(Clock())
    for number in range(600):
        database = Judge(TARGET, f"db{number}", cache, analyze)
        assert stale(database)
        learn(database)
    assert len(cache._kept) == 256


# ---------------------------------------------------------------- the session's own


def test_a_temporary_table_shadows_for_its_session_only() -> None:
    """What is in it nobody knows; another session's name means what it meant."""
    cache = CatalogCache(Clock())
    one, other = judge(cache), judge(cache)
    assert accesses(one.statement("CREATE TEMP TABLE orders AS TABLE customers")) == [
        "define pg_temp.orders",
        "read public.customers",
    ]
    action = one.statement("SELECT * FROM orders")
    assert accesses(action) == ["read public.orders", "read pg_temp.orders"]
    assert action.shape.sources is None
    assert action.shape.outputs is None
    assert copied("COPY orders TO STDOUT", one) == [None]
    assert accesses(other.statement("SELECT * FROM orders")) == ["read public.orders"]
    assert other.statement("SELECT * FROM orders").shape.outputs is not None


def test_prepared_names_keep_all_they_ever_meant() -> None:
    """A name used twice stands for both statements: dropping one is not believed."""
    shop = judge()
    shop.statement("PREPARE p AS SELECT * FROM customers")
    shop.statement("DEALLOCATE p")
    shop.statement("PREPARE p AS DELETE FROM orders")
    assert shop.ambiguous("p")
    action = shop.statement("EXECUTE p")
    assert set(accesses(action)) == {"session session/prepared", "read public.customers", "delete public.orders"}
    assert action.shape.context["has_where"] is False
    assert shop.statement("EXECUTE p").shape is action.shape
    shop.statement("PREPARE p AS INSERT INTO audit.log SELECT")
    assert "insert audit.log" in accesses(shop.statement("EXECUTE p"))


def test_protocol_statements_can_be_executed_by_sql() -> None:
    """Parse and PREPARE share one namespace; cursors have another."""
    shop = judge()
    shop.remember_parse("s1", "DELETE FROM orders")
    assert "delete public.orders" in accesses(shop.statement("EXECUTE s1"))
    assert accesses(shop.statement("FETCH 1 FROM s1")) == ["session session/cursor", "unknown session/cursor"]
    assert not shop.ambiguous("s1")
    with pytest.raises(ValueError, match='"other" does not exist'):
        shop.statement("EXECUTE other")


def test_a_name_may_stand_for_a_name() -> None:
    """An EXECUTE that was itself prepared, or bound to a portal, is judged for what it runs in the end."""
    shop = judge()
    shop.statement("PREPARE p AS DELETE FROM orders")
    shop.remember_parse("q", "EXECUTE p")
    shop.remember_parse("r", "EXECUTE q; EXECUTE r")
    shop.remember_portal("c", "EXECUTE r")
    for text in ("EXECUTE q", "EXECUTE r", "FETCH 1 FROM c"):
        action = shop.statement(text)
        assert "delete public.orders" in accesses(action)
        assert action.shape.context["has_where"] is False
    shop.remember_parse("s", "EXECUTE never_prepared")
    assert "unknown session/cursor" in accesses(shop.statement("EXECUTE s"))


def test_names_are_bounded() -> None:
    """A session that prepares without end is refused, not remembered."""
    shop = judge()
    for number in range(MAX_NAMES):
        shop.remember_parse(f"s{number}", "SELECT 1")
    shop.remember_parse("more", "SELECT 1")
    with pytest.raises(ValueError, match="does not exist"):
        shop.statement("EXECUTE more")
    with pytest.raises(ValueError, match="more than"):
        shop.statement("PREPARE more AS SELECT 1")
    shop.remember_parse("s1", "SELECT 2 FROM orders")
    assert shop.ambiguous("s1")


def test_text_beyond_what_can_be_read_is_refused() -> None:
    """Under another encoding or string syntax the same bytes are another statement."""
    shop = judge()
    shop.parameter_status(status("client_encoding", "SJIS"))
    with pytest.raises(ValueError, match="client_encoding is SJIS"):
        shop.statement("SELECT 'é'")
    assert shop.statement("SELECT 1")
    shop.parameter_status(status("client_encoding", "UTF8"))
    assert shop.statement("SELECT 'é'")
    shop.parameter_status(status("standard_conforming_strings", "off"))
    with pytest.raises(ValueError, match="backslash"):
        shop.statement(r"SELECT '\'; DELETE FROM orders; --'")
    # The end of a transaction may bring a setting back: what follows must wait for it.
    assert shop.statement("COMMIT").shape.context["barrier"] is True
    assert judge().statement("COMMIT").shape.context["barrier"] is False


@pytest.mark.parametrize(
    ("text", "barrier"),
    [
        ("SELECT * FROM orders", False),
        ("INSERT INTO log VALUES (1)", False),
        ("BEGIN", False),
        ("SHOW work_mem", False),
        ("SET search_path = x", True),
        ("SELECT refund(1)", True),
        ("CREATE TABLE t ()", True),
        ("CREATE TEMP TABLE t ()", True),
        ("PREPARE p AS SELECT 1", True),
        ("DO $$ BEGIN EXECUTE 'x'; END $$", True),
        ("SELECT set_config('x.y', '1', false)", True),
    ],
)
def test_what_later_statements_wait_for(text: str, barrier: bool) -> None:
    """Statements after which a text may mean something else are barriers; plain work is not."""
    assert judge().statement(text).shape.context["barrier"] is barrier


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("DROP TABLE orders", True),
        ("GRANT SELECT ON orders TO bob", True),
        ("CREATE EXTENSION x", True),
        ("SELECT query_to_xml('x', true, true, '')", True),
        ("COMMIT PREPARED 'x'", True),
        ("CREATE TEMP TABLE t ()", False),
        ("SET ROLE bob", False),
        ("SELECT pg_read_file('x')", False),
        ("COPY orders FROM PROGRAM 'x'", False),
        ("DELETE FROM orders", False),
        ("COMMIT", False),
    ],
)
def test_what_leaves_the_catalogue_different(text: str, changes: bool) -> None:
    """Only what may change definitions makes sessions read the catalogue again."""
    assert judge().statement(text).shape.context["changes"] is changes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("DELETE FROM orders", "DELETE without WHERE on public.orders"),
        ("DELETE FROM orders WHERE id = 1", "DELETE on public.orders"),
        ("SELECT * FROM log", "SELECT on log"),
        ("SELECT * FROM nowhere", "SELECT on nowhere"),
        ("DROP TABLE orders, audit.log", "DROP TABLE on public.orders, audit.log"),
        ("", "an empty statement"),
        ("SELECT 1; TRUNCATE orders", "SELECT; TRUNCATE without WHERE on public.orders"),
        ("SELECT 1;" * 6, "SELECT; SELECT; SELECT; SELECT; and 2 more"),
        ("PREPARE p AS DELETE FROM orders", "PREPARE of DELETE without WHERE on public.orders"),
        ("VACUUM", "VACUUM"),
        ("CREATE TABLE t ()", "CREATE TABLE on t"),
        ('DELETE FROM "odd.name"', 'DELETE without WHERE on public."odd.name"'),
        ("COMMIT PREPARED 'x'", "COMMIT PREPARED"),
    ],
)
def test_summary(text: str, sentence: str) -> None:
    """A person is told what was asked for, with the names it stands for."""
    assert judge().statement(text).shape.summary == sentence


def test_context() -> None:
    """Policy sees how many statements, which functions, whether SQL is made that can't be seen."""
    context = judge().statement("SELECT lower('a'), public.refund(1); SELECT 2").shape.context
    assert context["statements"] == 2
    assert context["functions"] == ("lower", "public.refund")
    assert context["dynamic"] is False


@pytest.mark.parametrize(
    "definition",
    [
        None,
        "SELECT id, note AS email FROM orders",
        "SELECT id FROM customers",
        "SELECT id, refund(id)::text FROM customers",
        "SELECT id, email FROM nowhere",
        "not a query",
    ],
)
def test_a_view_whose_query_does_not_tell(definition: str | None) -> None:
    """Each of its columns comes with everything that the server says it draws from."""
    raw = json.loads(document())
    raw["definitions"] = None if definition is None else [[oid("v_customers"), definition]]
    origin, others = judge(text=json.dumps(raw)).origin(oid("v_customers"), 1)
    assert origin == "shop/public.v_customers.id"
    assert others == ("shop/public.customers.email", "shop/public.customers.id")


def test_function_call() -> None:
    """The message names a function by oid only: execute and unknown, and nobody can tell what it shows."""
    action = judge().function_call(1234)
    assert accesses(action) == ["execute function/1234", "unknown function/1234"]
    assert action.shape.sources is None


# ---------------------------------------------------------------- origins


def test_origin_of_columns() -> None:
    """A view's column comes with what it draws from, a parent's with its children's, a whole row with all."""
    shop = judge()
    assert shop.origin(oid("customers"), 3) == ("shop/public.customers.email", ())
    assert shop.origin(oid("v_customers"), 1) == (
        "shop/public.v_customers.id",
        ("shop/public.customers.id",),
    )
    name, origins = shop.origin(oid("v_rows"), 2)
    assert name == "shop/public.v_rows.customers"
    assert set(origins) == {f"shop/public.customers.{column}" for column in ("id", "name", "email")}
    assert "shop/public.customers.email" in shop.origin(oid("v_of_v"), 1)[1]
    assert shop.origin(oid("events"), 2) == ("shop/public.events.body", ("shop/public.events_1.body",))
    assert shop.origin(oid("events_1"), 2) == ("shop/public.events_1.body", ("shop/public.events.body",))
    assert shop.origin(oid("odd.name"), 1) == ('shop/public."odd.name"."a.b"', ())


def test_origins_that_cannot_be_told() -> None:
    """A view over the target's own functions, statistics that hold data, and what is not in the catalogue."""
    shop = judge()
    assert shop.origin(oid("v_refunds"), 1) == (None, ())
    assert shop.origin(99999, 1) == (None, ())
    assert shop.origin(1001, 1) == (None, ())
    assert shop.origin(1000, 1) == ("shop/pg_catalog.pg_class.1", ())


def copied(text: str, shop: Judge | None = None) -> list[str | None]:
    """For each COPY of a text its columns: names, - for a computed one, and None when they are not told."""
    shape = (shop or judge()).statement(text).shape
    assert isinstance(shape, SessionShape)
    return [
        None if copy.columns is None else " ".join("-" if column is None else column.name for column in copy.columns)
        for copy in shape.copies
    ]


COPIES = [
    ("COPY customers (email) TO STDOUT", ["email"]),
    ("COPY public.log TO STDOUT", ["line"]),
    ("COPY log TO STDOUT", [None]),
    ("COPY customers (nosuch) TO STDOUT", [None]),
    ("COPY nosuch TO STDOUT", [None]),
    ("COPY (SELECT email, id, id + 1, upper(name) FROM customers) TO STDOUT", ["email id - -"]),
    ("COPY (SELECT id AS email, email AS id FROM customers) TO STDOUT", ["id email"]),
    ("COPY (SELECT * FROM customers) TO STDOUT", ["id name email"]),
    ("COPY (SELECT c.*, o.note FROM customers c, orders o) TO STDOUT", ["id name email note"]),
    ("COPY (SELECT * FROM customers c JOIN orders o ON c.id = o.customer_id) TO STDOUT",
     ["id name email id customer_id amount note"]),
    ("COPY (SELECT c.email, o.note, id FROM customers c JOIN orders o USING (id)) TO STDOUT", ["email note -"]),
    ("COPY (SELECT note, email FROM customers c NATURAL JOIN orders o) TO STDOUT", ["- -"]),
    ("COPY (SELECT j.email FROM (customers c JOIN orders o ON true) AS j (a, b, email)) TO STDOUT", ["-"]),
    ("COPY (SELECT x.email, o.id FROM (SELECT name AS email FROM customers) x, orders o) TO STDOUT", ["- id"]),
    ("COPY (SELECT email FROM (SELECT name AS email FROM customers) x, orders) TO STDOUT", ["-"]),
    ("COPY (SELECT z, x FROM customers AS a (x, y, z)) TO STDOUT", ["email id"]),
    ("COPY (SELECT y FROM customers AS a (x, y) WHERE a.email = '') TO STDOUT", ["name"]),
    ("COPY (WITH customers AS (SELECT name AS id FROM customers) SELECT id FROM customers) TO STDOUT", ["-"]),
    ("COPY (WITH customers AS (SELECT 1 AS id) SELECT id FROM public.customers) TO STDOUT", ["id"]),
    ("COPY (SELECT email FROM customers UNION ALL SELECT name FROM customers) TO STDOUT", [None]),
    ("COPY (VALUES (1)) TO STDOUT", [None]),
    ("COPY (SELECT public.customers.email FROM public.customers) TO STDOUT", ["email"]),
    ("COPY (SELECT shop.public.customers.email FROM public.customers) TO STDOUT", ["-"]),
    ("COPY (SELECT c FROM customers c) TO STDOUT", ["-"]),
    ("COPY (SELECT email FROM customers, log) TO STDOUT", ["-"]),
    ("COPY (SELECT email FROM v_customers) TO STDOUT", ["email"]),
    ("COPY (SELECT refund FROM v_refunds) TO STDOUT", [None]),
    ("COPY (SELECT id, refund(1) FROM customers) TO STDOUT", [None]),
    ("COPY (SELECT relname FROM pg_class) TO STDOUT", ["-"]),
    ("COPY (UPDATE customers SET name = '' WHERE id = 1 RETURNING email, upper(name)) TO STDOUT", ["email -"]),
    ("COPY (UPDATE customers SET name = '' WHERE id = 1 RETURNING old.email) TO STDOUT", ["email"]),
    ("COPY customers (name) TO STDOUT; COPY (SELECT email FROM customers) TO STDOUT", ["name", "email"]),
    ("BEGIN; COPY customers (name) TO STDOUT; COMMIT", ["name"]),
    ("COPY orders FROM STDIN; COPY orders (id) TO STDOUT; COPY orders (id) TO '/tmp/x'", ["id"]),
    # Beside what may have changed what names mean, nothing is told.
    ("ALTER TABLE customers RENAME email TO x; COPY customers TO STDOUT", [None]),
    ("SELECT refund(1); COPY customers TO STDOUT", [None]),
    ("DO $$ BEGIN EXECUTE 'x'; END $$; COPY customers TO STDOUT", [None]),
    ("CREATE TEMP TABLE customers (id text); COPY customers TO STDOUT", [None]),
    ("COPY customers TO STDOUT; CREATE TEMP TABLE customers (id text); COPY customers TO STDOUT", [None, None]),
    ("SET search_path = audit; COPY customers TO STDOUT", [None]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "columns"), COPIES, ids=range(len(COPIES)))
def test_columns_of_copy(text: str, columns: list[str | None]) -> None:
    """COPY's columns are told only where exactly one relation's can be meant."""
    assert copied(text) == columns


def test_a_temporary_table_hides_the_columns_of_copy() -> None:
    """It may stand before the one of the catalogue."""
    shop = judge()
    shop.statement("CREATE TEMP TABLE customers (id text)")
    assert copied("COPY customers TO STDOUT", shop) == [None]
    assert copied("COPY public.customers (name) TO STDOUT", shop) == ["name"]
    assert copied("COPY (SELECT name FROM customers) TO STDOUT", shop) == [None]


def test_circles_of_definitions_end() -> None:
    """A catalogue that goes in circles is walked once around."""
    circle: Any = Catalog(
        relations={1: ("a", "x", "v"), 2: ("a", "y", "v")},
        derived={1: ((2, 0),), 2: ((1, 0),)},
        children={1: (2,), 2: (1,)},
    )
    assert circle.origins(1) == ()
    assert circle.behind(1) == {1, 2}
    assert list(circle.family(1)) == [2]


def test_the_shop_is_as_it_says() -> None:
    """Oids of the fixture are where the tests look for them."""
    assert RELATIONS[oid("customers") - 20000][1] == "customers"


# ---------------------------------------------------------------- Bind


def bind(parameters: list[bytes | None], formats: list[int], results: list[int], portal: bytes = b"") -> bytes:
    """A Bind message."""
    body = portal + b"\0s\0" + len(formats).to_bytes(2, "big") + b"".join(f.to_bytes(2, "big") for f in formats)
    body += len(parameters).to_bytes(2, "big")
    for value in parameters:
        body += b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big") + value
    body += len(results).to_bytes(2, "big") + b"".join(f.to_bytes(2, "big") for f in results)
    return b"B" + (len(body) + 4).to_bytes(4, "big") + body


def test_bind() -> None:
    """Names, values, and the format of each: none is text, one is for all, or one each."""
    assert Judge.bind(bind([], [], [])) == ("", "s", (), ())
    found = Judge.bind(bind([b"1", None], [0, 1], [1, 0], b"p"))
    assert found == ("p", "s", (Parameter(b"1"), Parameter(None, binary=True)), (1, 0))
    assert [p.binary for p in Judge.bind(bind([b"1", b"2"], [1], [])).parameters] == [True, True]


def test_bind_that_does_not_fit() -> None:
    """A Bind that ends early or holds more than it says is a ProtocolError, whatever it is cut at."""
    good = bind([b"12", None], [0, 1], [1])
    for cut in range(5, len(good)):
        with pytest.raises(ProtocolError):
            Judge.bind(good[:cut])
    with pytest.raises(ProtocolError):
        Judge.bind(good + b"\0")
    with pytest.raises(ProtocolError):
        Judge.bind(bind([b"1", b"2", b"3"], [0, 1], []))
    with pytest.raises(ProtocolError):
        Judge.bind(bind([], [], [], b"\xff"))
    with pytest.raises(ProtocolError):
        Judge.bind(good.replace(b"\xff\xff\xff\xff", b"\xff\xff\xff\xfe"))


def test_parameters_know_their_types() -> None:
    """Types come from ParameterDescription when it was asked for."""
    shop = judge()
    action = shop.statement("SELECT * FROM orders WHERE id = $1")
    found = shop.with_parameters(action, (Parameter(b"1"),), (23,))
    assert found.parameters == (Parameter(b"1", type="23", inert=True),)
    assert found.shape is action.shape
    assert shop.with_parameters(action, (Parameter(b"1"),), ()).parameters == (Parameter(b"1"),)
    assert shop.with_parameters(action, (), ()) is action
