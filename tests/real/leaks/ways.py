"""The ways a query's rows, or what is said of them, come to a client."""

from collections.abc import Callable

from tests.real.drivers.wire import SYNC, WireClient, bind, close, describe, execute, parse, query

Steps = list[bytes]


def _extended(sql: str, format_code: int) -> bytes:
    return parse(sql) + bind(results=(format_code,)) + describe("P") + execute() + SYNC


def _row_by_row(sql: str) -> Steps:
    turns = b"".join(execute("p", 1) for _ in range(3))
    return [parse(sql, "s") + bind("p", "s") + turns + SYNC, close("S", "s") + SYNC]


def _held(sql: str) -> Steps:
    return [
        query(f"DECLARE c SCROLL CURSOR WITH HOLD FOR {sql}"),
        query("COMMIT"),
        query("FETCH ALL FROM c"),
        query("FETCH BACKWARD 1 FROM c"),
        query("CLOSE c"),
    ]


#: name → the messages, each up to its ReadyForQuery, inside a transaction block.
WAYS: dict[str, Callable[[str], Steps]] = {
    "simple": lambda sql: [query(sql)],
    "extended": lambda sql: [_extended(sql, 0)],
    "binary": lambda sql: [_extended(sql, 1)],
    "undescribed": lambda sql: [parse(sql) + bind() + execute() + SYNC],
    "row by row": _row_by_row,
    "described before": lambda sql: [
        parse(sql, "s") + describe("S", "s") + SYNC,
        bind("", "s", results=(1,)) + execute() + SYNC,
        close("S", "s") + SYNC,
    ],
    "pipeline": lambda sql: [_extended("SELECT 1", 0)[:-5] + _extended(sql, 0)[:-5] + _extended(sql, 1)],
    "text of several": lambda sql: [query(f"SELECT 1; {sql}; SELECT 2")],
    "prepared": lambda sql: [query(f"PREPARE e AS {sql}"), query("EXECUTE e"), query("DEALLOCATE e")],
    "prepared, executed by Bind": lambda sql: [
        query(f"PREPARE e AS {sql}"),
        bind("", "e") + describe("P") + execute() + SYNC,
        query("DEALLOCATE e"),
    ],
    "cursor": lambda sql: [
        query(f"DECLARE c SCROLL CURSOR FOR {sql}"),
        query("FETCH 2 FROM c"),
        query("FETCH ABSOLUTE 1 FROM c"),
        _extended("FETCH FORWARD ALL FROM c", 1),
    ],
    "binary cursor": lambda sql: [query(f"DECLARE c BINARY CURSOR FOR {sql}"), query("FETCH ALL FROM c")],
    "cursor in one text": lambda sql: [query(f"DECLARE c CURSOR FOR {sql}; FETCH ALL FROM c; CLOSE c")],
    "held cursor": _held,
    "then commit": lambda sql: [query(sql), query("COMMIT")],
    "copied": lambda sql: [query(f"COPY ({sql}) TO STDOUT")],
    "copied as CSV": lambda sql: [query(f"COPY ({sql}) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)")],
    "copied as binary": lambda sql: [query(f"COPY ({sql}) TO STDOUT (FORMAT binary)")],
    "copied, extended": lambda sql: [parse(f"COPY ({sql}) TO STDOUT") + bind() + describe("P") + execute() + SYNC],
}
#: Settings that change what values look like.
SETTINGS = (
    "bytea_output = 'escape'",
    "IntervalStyle = 'iso_8601'",
    "DateStyle = 'German'",
    "extra_float_digits = 0",
    "xmlbinary = 'hex'",
    "TimeZone = 'Asia/Kathmandu'",
)


def answers(client: WireClient, steps: Steps) -> list[bytes]:
    """Everything that is said to the steps in a transaction that is not kept."""
    said: list[bytes] = []
    for step in (query("BEGIN"), *steps, query("ROLLBACK")):
        client.send(step)
        said += client.until(b"Z")
    return said
