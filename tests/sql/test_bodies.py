"""Bodies of functions: what they touch, and when nobody can say."""

import pytest

from ostiary.sql.bodies import hidden


def touched(definition: str) -> set[str]:
    """`read customers` for each touch."""
    found = hidden(definition)
    assert found is not None
    return {f"{touch.operation.value} {touch.name.name}" for touch in found.touches}


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (
            "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS $$ DELETE FROM orders WHERE id = a; SELECT 1 $$",
            {"delete orders", "read orders"},
        ),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC INSERT INTO log VALUES(1);SELECT id FROM t;END",
            {"insert log", "read t"},
        ),
        ("CREATE FUNCTION f() RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM t)", {"read t"}),
        (
            (
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
                "$$BEGIN NEW.a := now(); INSERT INTO log VALUES (OLD.a, TG_OP, 'it''s'); RETURN NEW; END$$"
            ),
            {"insert log"},
        ),
        (
            (
                "CREATE FUNCTION f() RETURNS SETOF int LANGUAGE plpgsql AS "
                "$$DECLARE r record; BEGIN FOR r IN SELECT id FROM t LOOP RETURN NEXT r.id; END LOOP; "
                "RETURN QUERY SELECT id FROM u; PERFORM g(); END$$"
            ),
            {"read t", "read u", "execute g"},
        ),
        ("CREATE PROCEDURE p() LANGUAGE plpgsql AS $$BEGIN UPDATE t SET a = 1; COMMIT; END$$", {"update t"}),
    ],
)
def test_what_a_body_touches(definition: str, expected: set[str]) -> None:
    """Every relation and function in the body is told."""
    assert expected <= touched(definition)


def test_dynamic_sql_is_unknown() -> None:
    """EXECUTE of a value can do anything."""
    text = "CREATE FUNCTION f(q text) RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE q; END$$"
    assert any(name.startswith("unknown ") for name in touched(text))


@pytest.mark.parametrize(
    "definition",
    [
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'lib', 'sym'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS $$return 1$$",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$not a block$$",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$SELECT 1$$ -- " + "x" * 70000,
    ],
)
def test_what_cannot_be_told(definition: str) -> None:
    """Other languages, what does not parse and what is too long are nobody's to judge."""
    assert hidden(definition) is None
