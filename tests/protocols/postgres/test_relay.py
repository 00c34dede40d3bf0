"""The rest of the query phase."""

import re

import pytest

from ostiary.core import Operation, Permit, Result, Stage
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.requests import POISON_PARSE, POISON_QUERY
from ostiary.sql import analyze
from ostiary.wire.contract import Close, Forward, Release
from tests.protocols.postgres.playbook import (
    BOUND,
    PARSED,
    SYNC,
    TERMINATE,
    Playbook,
    bind,
    complete,
    execute,
    parse,
    query,
    ready,
    row,
)

SELECT = "SELECT name FROM customers"


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
