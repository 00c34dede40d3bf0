"""What runs unseen is joined to the statement that sets it off; what each server says of it is in tests/real/oracle."""

import json
from typing import Any

import pytest

from ostiary.protocols.postgres.catalog import Catalog
from ostiary.protocols.postgres.reach import MAX_BODIES
from ostiary.protocols.postgres.resolve import Resolver
from ostiary.sql import Statement, analyze
from tests.protocols.postgres.shop import document, oid


def joined(text: str, *, trusted: bool = True, replaced: frozenset[str] = frozenset(), **unseen: Any) -> Statement:
    """The statement with what it sets off in a shop that has these things unseen."""
    raw = json.loads(document())
    raw["functions"] += [[schema, name, True, False] for schema, name, _ in unseen.get("functions", ())]
    raw["functions"] += [[schema, name, False, False] for schema, name, _ in unseen.get("provided", ())]
    for name, more in unseen.items():
        raw["unseen"][name] = [*(raw["unseen"][name] or ()), *more]
    resolver = Resolver("t", Catalog.parse(json.dumps(raw)), trusted=trusted, temporary=frozenset())
    (statement,) = analyze(text).statements
    return resolver.joined(statement, replaced)


def touched(statement: Statement) -> set[str]:
    """`insert public.audit` for each touch."""
    return {
        f"{touch.operation} {'.'.join(filter(None, (touch.name.schema, touch.name.name)))}"
        for touch in statement.touches
    }


def _sql(name: str, body: str) -> list[str | None]:
    return ["public", name, f"CREATE FUNCTION public.{name}() RETURNS int LANGUAGE sql AS $$ {body} $$"]


def test_a_statement_that_sets_nothing_off_is_itself() -> None:
    """No copy, no cost."""
    (statement,) = analyze("SELECT id, lower(name) FROM customers WHERE id = 1").statements
    assert joined("SELECT id, lower(name) FROM customers WHERE id = 1", functions=[_sql("odd", "SELECT 1")]) is not None
    resolver = Resolver("t", Catalog.parse(document()), trusted=True, temporary=frozenset())
    (plain,) = analyze("SELECT id, upper(name) FROM customers WHERE id = 1").statements
    assert resolver.joined(plain) is plain
    assert resolver.joined(statement) is not statement, "the shop has an app.lower() that nobody can tell"


def test_calls_are_followed_and_recursion_ends() -> None:
    """A function that calls one that calls it back: both bodies count, once."""
    bodies = [_sql("ping", "SELECT pong()"), _sql("pong", "DELETE FROM public.customers WHERE id = 1; SELECT ping()")]
    found = touched(joined("SELECT ping()", functions=bodies))
    assert {"execute ping", "execute public.pong", "delete public.customers"} <= found
    assert not any(touch.startswith("unknown") for touch in found)


def test_a_body_nobody_can_tell_is_unknown() -> None:
    """No definition, no promise; and the unknown names it."""
    assert "unknown unknown/public.odd()" in touched(joined("SELECT odd()", functions=[["public", "odd", None]]))


def test_every_body_nobody_can_tell_is_named() -> None:
    """A permit for the first says nothing of the second."""
    found = touched(joined("SELECT odd(), even()", functions=[["public", "odd", None], ["public", "even", None]]))
    assert {"unknown unknown/public.odd()", "unknown unknown/public.even()"} <= found


def test_a_name_nobody_knows_is_unknown() -> None:
    """It may have been made since."""
    assert touched(joined("SELECT nowhere.odd()")) == {"execute nowhere.odd", "unknown unknown/nowhere.odd()"}


@pytest.mark.parametrize(("trusted", "replaced"), [(False, frozenset[str]()), (True, frozenset({"ping"}))])
def test_a_body_that_may_have_been_replaced_is_unknown(*, trusted: bool, replaced: frozenset[str]) -> None:
    """A stale catalogue makes no answer weaker."""
    found = touched(joined("SELECT ping()", trusted=trusted, replaced=replaced, functions=[_sql("ping", "SELECT 1")]))
    assert "unknown unknown/public.ping()" in found


def test_too_many_bodies_are_unknown() -> None:
    """Work is bounded."""
    bodies = [_sql(f"f{i}", f"SELECT f{i + 1}()") for i in range(MAX_BODIES + 50)]
    assert any(touch.startswith("unknown") for touch in touched(joined("SELECT f0()", functions=bodies)))


def test_functions_of_extensions_compute_when_somebody_looked() -> None:
    """Those of well-known ones are as built-ins, those that do more and all others are unknown."""
    provided = [["public", "digest", "pgcrypto"], ["public", "crosstab", "tablefunc"], ["public", "odd", "homemade"]]
    assert touched(joined("SELECT digest('x', 'md5')", provided=provided)) == set()
    assert "unknown unknown/crosstab()" in touched(joined("SELECT crosstab('SELECT 1')", provided=provided))
    assert "unknown unknown/public.odd()" in touched(joined("SELECT odd()", provided=provided))


def test_own_overload_beside_an_extensions() -> None:
    """Which is meant is not told apart: the own one counts."""
    found = touched(
        joined(
            "SELECT digest('x')",
            provided=[["public", "digest", "pgcrypto"]],
            functions=[["app", "digest", None]],
        )
    )
    assert {"execute digest", "unknown unknown/app.digest()"} <= found


@pytest.mark.parametrize(
    ("text", "fires"),
    [
        ("INSERT INTO public.customers DEFAULT VALUES", True),
        ("UPDATE public.customers SET id = 1 WHERE id = 2", False),
        ("SELECT id FROM public.customers FOR UPDATE", False),
        ("SELECT id FROM public.customers", False),
    ],
)
def test_triggers_fire_by_event(text: str, *, fires: bool) -> None:
    """2 is an insertion: nothing else runs it. Nobody asks who may call a trigger's function."""
    body = "CREATE FUNCTION public.seen() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM app.gone; END$$"
    trigger = "CREATE TRIGGER t BEFORE INSERT ON public.customers FOR EACH ROW EXECUTE FUNCTION public.seen()"
    found = touched(joined(text, functions=[["public", "seen", body]], hooks=[[oid("customers"), 2, trigger, True]]))
    assert ("delete app.gone" in found) is fires
    assert "execute public.seen" not in found


def test_a_trigger_that_sets_a_key_carries_on() -> None:
    """An update whose trigger changes the column that others refer to, by hand or as a whole row."""
    trigger = "CREATE TRIGGER t BEFORE UPDATE ON public.customers FOR EACH ROW EXECUTE FUNCTION public.moves()"
    keys = [[oid("customers"), oid("orders"), "a", "c", ["id"], ["customer_id"]]]
    for body, carried in (
        ("NEW.id := 7; RETURN NEW;", True),
        ("NEW := OLD; RETURN NEW;", True),
        ("SELECT 1 INTO NEW.id; RETURN NEW;", True),
        ("NEW.name := 'x'; RETURN NEW;", False),
    ):
        text = f"CREATE FUNCTION public.moves() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$"
        found = touched(
            joined(
                "UPDATE customers SET name = 'y' WHERE id = 1",
                functions=[["public", "moves", text]],
                hooks=[[oid("customers"), 4, trigger, True]],
                keys=keys,
            )
        )
        assert ("update public.orders" in found) is carried, body


def test_event_triggers_run_by_definitions() -> None:
    """Whatever is defined."""
    text = "$$BEGIN INSERT INTO audit.log VALUES (now(), TG_TAG); END$$"
    body = f"CREATE FUNCTION public.watch() RETURNS event_trigger LANGUAGE plpgsql AS {text}"
    found = touched(
        joined(
            "CREATE TABLE t (a int)",
            functions=[["public", "watch", body]],
            event_triggers=["SELECT public.watch()"],
        )
    )
    assert {"define t", "insert audit.log"} == found


def test_settings_and_temporary_tables_of_bodies_are_the_sessions() -> None:
    """What a function leaves behind in the session is known as if it had been sent."""
    found = joined(
        "SELECT leaves()", functions=[_sql("leaves", "CREATE TEMP TABLE mine (); SET search_path = audit; SELECT 1")]
    )
    assert found.temporary == ("mine",)
    assert [getattr(effect, "name", "") for effect in found.effects] == ["search_path"]
