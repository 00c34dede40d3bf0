"""What the names of statements, portals and cursors stand for."""

import pytest

from ostiary.core import Operation, Stage
from ostiary.protocols.postgres.requests import MAX_NAMES, POISON_PARSE
from ostiary.wire.contract import Forward
from tests.protocols.postgres.playbook import (
    BOUND,
    DENIED,
    FLUSH,
    PARSED,
    SUSPENDED,
    SYNC,
    Playbook,
    bind,
    complete,
    execute,
    failure,
    parse,
    query,
    ready,
)

DELETE = "DELETE FROM orders"
SELECT = "SELECT name FROM customers"


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
        if not behind:
            book.ended("ok", "not run to its end")
        book.up(bind("s", "p"), SYNC)
        book.target(failure("42P03"), ready("E"))
        book.ended("error", "42P03")
        if behind:
            book.ended("error", "not run: an earlier message of the pipeline failed")
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


def test_a_portal_that_is_replaced_while_it_runs_is_answered_first() -> None:
    """Drivers pipeline portals without a name: each one's rows are its own, and so is its end."""
    with Playbook() as book:
        book.client(parse(SELECT, "s"), bind("s"), execute(), bind("s"), execute("", 1), bind("s"), SYNC)
        book.allow()
        book.up(parse(SELECT, "s"))
        book.allow()
        book.up(bind("s"), execute())
        book.allow()
        book.up(bind("s"), execute("", 1))
        book.allow()
        book.up(bind("s"), SYNC)
        book.target(PARSED, BOUND, complete("SELECT 1"))
        book.ended("ok", "SELECT 1")
        book.down(PARSED, BOUND, complete("SELECT 1"))
        book.target(BOUND, SUSPENDED, BOUND, ready())
        book.ended("ok", "not run to its end")
        book.ended("ok", "not run to its end")
        book.down(BOUND, SUSPENDED, BOUND, ready())


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
