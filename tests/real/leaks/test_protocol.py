"""Ways that SQL alone does not have: messages no driver sends in that order, and calls past SQL."""

import pytest

from tests.real.drivers.wire import FLUSH, SYNC, bind, close, copy_data, describe, execute, function_call, parse, query
from tests.real.leaks.conftest import Leaks
from tests.real.leaks.ways import Steps, answers

pytestmark = pytest.mark.timeout(120)

EMAIL = "SELECT email FROM people ORDER BY id"
PLAIN = "SELECT town FROM places ORDER BY id"
COMPUTED = "SELECT lower(email) FROM people"
#: In Shift JIS halves of its characters are delimiters and escapes.
SHIFTED = (
    "COPY (SELECT 'P' || chr(12509) || 'Q' || chr(12509) || 'R' || chr(12477), email, 'z' || chr(12477), 'c'"
    " FROM people) TO STDOUT (DELIMITER '|')"
)
COPY_DONE = b"c\0\0\0\x04"

#: What it is → messages, each up to its ReadyForQuery. All show a canary when they are sent to the server itself.
ATTACKS: dict[str, Steps] = {
    "a portal bound twice": [parse(EMAIL, "s") + bind("p", "s") + execute("p", 1) + execute("p") + SYNC],
    "two portals in turn": [
        parse(EMAIL, "s")
        + parse(PLAIN, "t")
        + bind("p", "s")
        + bind("q", "t")
        + execute("q", 1)
        + execute("p", 1)
        + execute("q", 1)
        + execute("p", 1)
        + SYNC
    ],
    "portals without a name": [
        parse(PLAIN, "t") + parse(EMAIL, "s") + bind("", "t") + execute() + bind("", "s") + execute() + SYNC
    ],
    "a statement closed while it is bound": [
        parse(EMAIL, "s") + bind("p", "s") + close("S", "s") + parse(PLAIN, "s") + execute("p") + SYNC
    ],
    "a statement's name taken anew": [
        parse(PLAIN, "s") + describe("S", "s") + close("S", "s") + parse(EMAIL, "s") + bind("", "s") + execute() + SYNC
    ],
    "described as another": [
        parse(PLAIN, "s") + describe("S", "s") + SYNC,
        close("S", "s") + parse(COMPUTED, "s") + bind("", "s") + execute() + SYNC,
    ],
    "formats a column": [
        parse("SELECT town, email, ssn FROM people JOIN places USING (id)")
        + bind(results=(1, 0, 1))
        + describe("P")
        + execute()
        + SYNC
    ],
    "flushed instead of synced": [parse(EMAIL) + bind() + FLUSH + describe("P") + FLUSH + execute() + FLUSH + SYNC],
    "an error in the middle of a pipeline": [
        parse(PLAIN) + bind() + execute() + parse("SELECT email::int FROM people") + bind() + execute() + SYNC
    ],
    "an error when it is bound": [parse("SELECT frozen()::int") + bind() + SYNC],
    "a parameter that is joined": [
        parse("SELECT email || $1 FROM people") + bind(values=(b"x",)) + describe("P") + execute() + SYNC
    ],
    "a parameter of any type": [
        parse("SELECT CASE WHEN $1 THEN p END FROM people p") + bind(values=(b"t",)) + execute() + SYNC
    ],
    "rows of a simple query behind a pipeline": [parse(PLAIN) + bind() + execute() + SYNC, query(EMAIL)],
    "a cursor that is executed as a portal": [
        query(f"DECLARE c CURSOR FOR {EMAIL}"),
        parse("FETCH ALL FROM c") + bind() + describe("P") + execute() + SYNC,
    ],
    "a portal that is fetched as a cursor": [parse(EMAIL, "s") + bind("p", "s") + SYNC, query("FETCH ALL FROM p")],
    "a portal that is fetched backward": [
        parse(EMAIL, "s") + bind("p", "s") + execute("p", 2) + SYNC,
        query("FETCH ALL FROM p"),
    ],
    "an encoding that code sets in the pipeline of a COPY": [
        parse("DO $$BEGIN PERFORM set_config('client_encoding', 'SJIS', true); END$$")
        + bind()
        + execute()
        + parse(SHIFTED)
        + bind()
        + execute()
        + SYNC
    ],
    "an encoding that code sets between Bind and Execute of a COPY": [
        parse(SHIFTED)
        + bind("p")
        + parse("DO $$BEGIN PERFORM set_config('client_encoding', 'SJIS', true); END$$")
        + bind()
        + execute()
        + execute("p")
        + SYNC
    ],
    "rows that come in": [
        query("CREATE TEMP TABLE t (x int, y text CHECK (note(frozen()) > 0))"),
        parse("COPY t FROM STDIN") + bind() + execute() + copy_data(b"1\tx\n") + COPY_DONE + SYNC,
    ],
    "rows that come in and fail": [
        query("CREATE TEMP TABLE t (x int, y text CHECK (tell(frozen()) > 0))"),
        query("COPY t FROM STDIN") + copy_data(b"1\tx\n") + COPY_DONE,
    ],
}


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_is_shown(leaks: Leaks, name: str) -> None:
    """What the server shows, the gateway does not."""
    steps = ATTACKS[name]
    with leaks.direct() as client:
        assert leaks.finder.find(answers(client, steps))
    with leaks.through() as client:
        assert not leaks.finder.find(answers(client, steps))


@pytest.mark.parametrize("binary", [False, True])
def test_a_function_that_is_called_past_sql(leaks: Leaks, *, binary: bool) -> None:
    """Its result is masked as drawn from anything."""
    with leaks.direct() as client:
        client.send(query("SELECT 'frozen'::regproc::oid"))
        (row,) = (each for each in client.until(b"Z") if each[:1] == b"D")
        call = [function_call(int(row[11:]), (), binary=binary)]
        assert leaks.finder.find(answers(client, call))
    with leaks.through() as client:
        said = answers(client, call)
    assert not leaks.finder.find(said)
    assert b"V\0\0\0\x08\xff\xff\xff\xff" in said
