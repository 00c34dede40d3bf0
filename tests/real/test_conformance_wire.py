"""Message sequences no driver can be made to send, directly and through the gateway: the answers must be equal."""

import pytest

from tests.real.drivers.wire import (
    COPY_DONE,
    FLUSH,
    SYNC,
    WireClient,
    all_of,
    bind,
    close,
    copy_data,
    copy_fail,
    describe,
    execute,
    function_call,
    normal,
    parse,
    query,
)
from tests.real.gateway import TOKEN, Gateway
from tests.real.servers import PostgresServer
from tests.real.test_conformance import through

__all__ = ["through"]

pytestmark = pytest.mark.timeout(120)
INT4PL = 177
LO_CREATE = 715
INTO = query("COPY t (a) FROM STDIN")
INTO_EXTENDED = parse("COPY t (a) FROM STDIN") + bind() + describe("P") + execute()
INSERT = all_of("", "INSERT INTO t VALUES (7)")
FAILS = all_of("", "SELECT 1/0")
COUNT = query("SELECT count(*) FROM t")

#: name → steps: what is sent, and the types that end the answer ("ZZ": two of them).
SEQUENCES: dict[str, list[tuple[bytes, str]]] = {
    "a portal in slices": [
        (
            parse("SELECT generate_series(1, 10)", "s") + bind("p", "s") + describe("P", "p") + execute("p", 3) + FLUSH,
            "s",
        ),
        (execute("p", 3) + FLUSH, "s"),
        (execute("p", 0) + SYNC, "Z"),
        (execute("p", 0) + SYNC, "Z"),
    ],
    "a portal lives in its transaction": [
        (query("BEGIN"), "Z"),
        (parse("SELECT generate_series(1, 4)") + bind("p") + execute("p", 1) + SYNC, "Z"),
        (execute("p", 2) + SYNC, "Z"),
        (query("FETCH 1 FROM p"), "Z"),
        (close("P", "p") + execute("p", 1) + SYNC, "Z"),
        (query("ROLLBACK"), "Z"),
    ],
    "two portals at once": [
        (query("BEGIN"), "Z"),
        (parse("SELECT generate_series(1, 9)", "s") + bind("p", "s") + bind("q", "s") + SYNC, "Z"),
        ((execute("p", 2) + execute("q", 3)) * 3 + SYNC, "Z"),
        (query("COMMIT"), "Z"),
    ],
    "execute twice": [(all_of("", "SELECT 1") + execute() + SYNC, "Z")],
    "bind a portal twice": [(parse("SELECT 1", "s") + bind("p", "s") + bind("p", "s") + SYNC, "Z")],
    "parse a name twice": [(parse("SELECT 1", "s") + parse("SELECT 2", "s") + SYNC, "Z"), (bind("", "s") + SYNC, "Z")],
    "the unnamed statement is replaced": [
        (parse("SELECT 1") + parse("SELECT 'two'") + bind() + describe("P") + execute() + SYNC, "Z"),
        (bind() + execute() + SYNC, "Z"),
        (query("SELECT 3"), "Z"),
        (bind() + execute() + SYNC, "Z"),
    ],
    "no such statement": [(bind("", "nothing") + SYNC, "Z"), (describe("S", "nothing") + SYNC, "Z")],
    "no such portal": [(execute("nothing") + SYNC, "Z"), (describe("P", "nothing") + SYNC, "Z")],
    "close what is not there": [(close("S", "nothing") + close("P", "nothing") + SYNC, "Z")],
    "a closed statement is gone": [
        (parse("SELECT 1", "s") + SYNC, "Z"),
        (close("S", "s") + bind("", "s") + SYNC, "Z"),
    ],
    "deallocated under its feet": [
        (parse("SELECT 1", "s") + SYNC, "Z"),
        (query("DEALLOCATE s"), "Z"),
        (bind("", "s") + SYNC, "Z"),
        (parse("SELECT 2", "s") + bind("", "s") + execute() + SYNC, "Z"),
    ],
    "sql and protocol share names": [
        (query("PREPARE s AS SELECT 5"), "Z"),
        (bind("", "s") + describe("P") + execute() + SYNC, "Z"),
        (parse("SELECT 6", "t") + SYNC, "Z"),
        (query("EXECUTE t"), "Z"),
    ],
    "empty": [(query(""), "Z"), (all_of("", "") + SYNC, "Z"), (query("  ;; -- x"), "Z")],
    "sync alone": [(SYNC, "Z"), (SYNC * 3, "ZZZ")],
    "flush alone": [(FLUSH + SYNC, "Z")],
    "an error skips to Sync": [(FAILS + INSERT + describe("S", "x") + FLUSH + INSERT + SYNC, "Z"), (COUNT, "Z")],
    "one Sync after another": [
        (FAILS + SYNC + INSERT + SYNC + FAILS + SYNC + all_of("", "SELECT 2") + SYNC, "ZZZZ"),
        (COUNT, "Z"),
    ],
    "a pipeline is a transaction": [
        (INSERT + INSERT + FAILS + SYNC, "Z"),
        (COUNT, "Z"),
        (INSERT + SYNC, "Z"),
        (COUNT, "Z"),
    ],
    "begin inside a pipeline": [
        (all_of("", "BEGIN") + INSERT + SYNC, "Z"),
        (FAILS + SYNC, "Z"),
        (all_of("", "SELECT 1") + SYNC, "Z"),
        (all_of("", "ROLLBACK") + SYNC, "Z"),
        (COUNT, "Z"),
    ],
    "begin to commit in one segment": [
        (all_of("", "BEGIN") + INSERT + all_of("", "COMMIT") + all_of("", "SELECT 1") + SYNC, "Z"),
        (COUNT, "Z"),
    ],
    "a simple query inside a segment": [(INSERT + query("SELECT 8") + SYNC, "ZZ"), (COUNT, "Z")],
    "a simple query while skipping": [(FAILS + query("SELECT 8") + SYNC, "Z")],
    "a simple query that fails inside a segment": [(INSERT + query("SELECT 1/0"), "Z"), (SYNC, "Z"), (COUNT, "Z")],
    "several simple queries at once": [(query("SELECT 1") + query("SELECT 1/0") + query("SELECT 2"), "ZZZ")],
    "what can't be parsed, in a pipeline": [
        (INSERT + parse("SELEC 1") + INSERT + SYNC, "Z"),
        (COUNT, "Z"),
        (parse("SELEC 1") + bind() + execute() + SYNC, "Z"),
        (query("SELEC 1"), "Z"),
        (query("BEGIN"), "Z"),
        (parse("SELEC 1") + SYNC, "Z"),
        (query("ROLLBACK"), "Z"),
    ],
    "formats": [
        (
            parse("SELECT $1::int4, $2::text", types=(23, 25))
            + bind("", "", (b"\0\0\0\7", b"x"), (1, 0), (1, 0))
            + execute()
            + SYNC,
            "Z",
        ),
        (bind("", "", (b"12", None), (0,), (1,)) + describe("P") + execute() + SYNC, "Z"),
        (bind("", "", (b"\0\0\0\7", b"x"), (1, 1), (0,)) + execute() + SYNC, "Z"),
        (bind("", "", (b"notanumber", b"x")) + execute() + SYNC, "Z"),
        (bind("", "", (b"1",)) + execute() + SYNC, "Z"),
        (bind("", "", (b"1", b"2"), (), (1, 1, 1)) + execute() + SYNC, "Z"),
        (bind("", "", (b"1", b"2"), (), (7,)) + execute() + SYNC, "Z"),
    ],
    "many statements in a Parse": [(parse("SELECT 1; SELECT 2") + SYNC, "Z")],
    "describe": [
        (parse("SELECT $1::int AS n, 'x' AS t", "s") + describe("S", "s") + SYNC, "Z"),
        (parse("INSERT INTO t VALUES (1)", "i") + describe("S", "i") + bind("", "i") + describe("P") + SYNC, "Z"),
    ],
    "execute without describe": [(parse("SELECT 1, 'a'") + bind() + execute() + SYNC, "Z")],
    "copy in": [(INTO, "G"), (copy_data(b"1\n2\n") + COPY_DONE, "Z"), (COUNT, "Z")],
    "copy in, sync inside": [
        (INTO, "G"),
        (copy_data(b"1\n") + SYNC + FLUSH + copy_data(b"2\n") + COPY_DONE, "Z"),
        (COUNT, "Z"),
    ],
    "copy in, split rows": [
        (INTO, "G"),
        (copy_data(b"12") + copy_data(b"34\n5") + copy_data(b"6\n") + COPY_DONE, "Z"),
        (COUNT, "Z"),
    ],
    "copy in, failed by the client": [(INTO, "G"), (copy_data(b"1\n") + copy_fail("no more"), "Z"), (COUNT, "Z")],
    "copy in, bad data": [(INTO, "G"), (copy_data(b"x\n") + copy_data(b"2\n") + COPY_DONE, "Z"), (COUNT, "Z")],
    "copy in, bad data, data goes on": [
        (INTO, "G"),
        (copy_data(b"x\n"), "Z"),
        (copy_data(b"3\n") + COPY_DONE + COUNT, "Z"),
    ],
    "copy in, a query inside": [(INTO, "G"), (query("SELECT 1"), "Z"), (COUNT, "Z")],
    "copy in, extended": [(INTO_EXTENDED + FLUSH, "G"), (copy_data(b"1\n") + COPY_DONE + SYNC, "Z"), (COUNT, "Z")],
    "copy in, extended, Sync sent early": [
        (INTO_EXTENDED + SYNC, "G"),
        (copy_data(b"1\n") + COPY_DONE + SYNC, "Z"),
        (COUNT, "Z"),
    ],
    "copy in, extended, Sync sent early, bad data": [
        (INTO_EXTENDED + SYNC, "G"),
        (copy_data(b"x\n"), "E"),
        (COPY_DONE, ""),
        (SYNC, "Z"),
        (COUNT, "Z"),
    ],
    "copy in, extended, failed by the client": [
        (INTO_EXTENDED + FLUSH, "G"),
        (copy_fail("no") + INSERT + SYNC, "Z"),
        (COUNT, "Z"),
    ],
    "copy in, in a simple query with more": [
        (query("INSERT INTO t VALUES (1); COPY t (a) FROM STDIN; SELECT count(*) FROM t"), "G"),
        (copy_data(b"5\n") + COPY_DONE, "Z"),
    ],
    "two copies in one query": [
        (query("COPY t (a) FROM STDIN; COPY t (a) FROM STDIN; SELECT count(*) FROM t"), "G"),
        (copy_data(b"5\n") + COPY_DONE, "G"),
        (copy_data(b"6\n") + COPY_DONE, "Z"),
    ],
    "copy out among others": [(query("INSERT INTO t VALUES (1); COPY t TO STDOUT; SELECT 2"), "Z")],
    "copy out": [(query("COPY (SELECT generate_series(1, 5)) TO STDOUT"), "Z")],
    "copy out, extended": [(all_of("", "COPY (SELECT generate_series(1, 5)) TO STDOUT") + SYNC, "Z")],
    "copy out fails midway": [
        (query("COPY (SELECT 1 / (3 - g) FROM generate_series(1, 5) g) TO STDOUT"), "Z"),
        (COUNT, "Z"),
    ],
    "copy data outside a copy": [(copy_data(b"1\n") + COPY_DONE + COUNT, "Z"), (copy_fail("x") + SYNC, "Z")],
    "function call": [
        (function_call(INT4PL, (b"\0\0\0\2", b"\0\0\0\3")), "Z"),
        (function_call(INT4PL, (b"2", b"3"), binary=False), "Z"),
        (function_call(INT4PL, (b"\0\0\0\2", None)), "Z"),
        (function_call(INT4PL, (b"\0\0\0\2",)), "Z"),
        (function_call(999999, ()), "Z"),
        (query("BEGIN"), "Z"),
        (function_call(LO_CREATE, (b"\0\x01\0\0",)), "Z"),
        (function_call(INT4PL, (b"\x7f\xff\xff\xff", b"\0\0\0\1")), "Z"),
        (function_call(INT4PL, (b"\0\0\0\2", b"\0\0\0\3")), "Z"),
        (query("ROLLBACK"), "Z"),
    ],
    "set inside a pipeline": [
        (all_of("", "SET application_name = 'piped'") + all_of("", "SHOW application_name") + SYNC, "Z"),
        (all_of("", "SET application_name = 'lost'") + FAILS + SYNC, "Z"),
        (query("SHOW application_name"), "Z"),
    ],
    "create and use in one query": [
        (query("CREATE TEMP TABLE fresh (a int); INSERT INTO fresh VALUES (1); SELECT a + 0 FROM fresh"), "Z")
    ],
    "create and use in a pipeline": [
        (
            all_of("", "CREATE TEMP TABLE fresh (a int)")
            + all_of("", "INSERT INTO fresh VALUES (1)")
            + all_of("", "SELECT a + 0 FROM fresh")
            + SYNC,
            "Z",
        )
    ],
    "savepoints": [
        (query("BEGIN; SAVEPOINT a; INSERT INTO t VALUES (1)"), "Z"),
        (query("SELECT 1/0"), "Z"),
        (FAILS + SYNC, "Z"),
        (all_of("", "ROLLBACK TO a") + SYNC, "Z"),
        (query("COMMIT"), "Z"),
        (COUNT, "Z"),
    ],
    "a commit of an aborted transaction": [(query("BEGIN"), "Z"), (query("SELECT 1/0"), "Z"), (query("COMMIT"), "Z")],
    "notify itself": [(query("LISTEN me"), "Z"), (query("NOTIFY me, 'x'"), "Z"), (INSERT + SYNC, "Z")],
    "a long pipeline": [((INSERT + SYNC) * 300, "Z" * 300), (COUNT, "Z")],
    "a long segment": [(INSERT * 1000 + SYNC, "Z"), (COUNT, "Z")],
}


def played(client: WireClient, steps: list[tuple[bytes, str]]) -> list[list[str]]:
    """What came for each step."""
    found: list[list[str]] = []
    for data, ends in steps:
        client.send(data)
        answer: list[bytes] = []
        try:
            for end in ends:
                answer += client.until(end.encode())
        except (EOFError, ConnectionResetError):
            return [*found, ["closed"]]
        found.append(normal(answer))
    return found


@pytest.mark.parametrize("minor", [0, 2], ids=["3.0", "3.2"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_sequence(postgres: PostgresServer, through: Gateway, name: str, minor: int) -> None:
    """The same messages come back, in the same order, and the connection goes on."""
    begun = query("CREATE TEMP TABLE t (a int)")
    found: list[list[list[str]]] = []
    for host, port, token, database in (
        (postgres.host, postgres.port, "", "postgres"),
        (through.host, through.port, TOKEN, "orders"),
    ):
        with WireClient(host, port) as client:
            # A trusted user on the server itself: this client knows no SCRAM.
            client.login("auth_trust", token, database, minor)
            found.append(played(client, [(begun, "Z"), *SEQUENCES[name], (query("SELECT 'alive'"), "Z")]))
    assert found[0] == found[1]
