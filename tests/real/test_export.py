"""`ostiary serve` with an export: what happened is told, and a kill in the middle loses nothing."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.real.servers import PostgresServer
from tests.real.serving import Served, running, until

DATABASE = "exportserved"


@pytest.fixture(scope="module")
def served(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway that tells everything to a file."""
    with running(postgres15, tmp_path_factory.mktemp("export") / "home", DATABASE) as made:
        made.end()
        sink = "export:\n  - {name: archive, type: file, path: events.jsonl, statements: all, on_full: refuse}\n"
        made.config.write_text(made.config.read_text() + sink)
        made.start()
        yield made
    assert "Traceback" not in made.log.read_text()


def told(served: Served) -> list[dict[str, Any]]:
    """Events so far."""
    path = served.home / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def queries(served: Served) -> list[str]:
    """Statements of them, once each."""
    found = {event["metadata"]["uid"]: event for event in told(served) if event["class_uid"] == 6005}
    return [event["query_info"]["query_string"] for event in found.values()]


def test_what_happened_is_told_and_a_kill_loses_nothing(served: Served) -> None:
    """Statements before a kill -9 are told after the next start; ids are those of the records, each event is whole."""
    with served.connect() as connection:
        connection.execute("SELECT email FROM people")
        with pytest.raises(psycopg.Error, match="denied by policy"):
            connection.execute("DELETE FROM people")
        until(lambda: any(event["status"] == "Failure" for event in told(served)), "the denial is told")
        for number in range(200):
            connection.execute(f"SELECT {number}")
        served.end(signal.SIGKILL)
    served.start()
    until(lambda: {f"SELECT {n}" for n in range(200)} <= set(queries(served)), "all of them are told")
    with served.connect() as connection:
        connection.execute("SELECT 'after'")
    served.end()
    names = [(event["class_name"], event["activity_name"]) for event in told(served)]
    assert names[0] == ("Authentication", "Logon")
    assert ("Authentication", "Logoff") in names, "what ended with the gateway is told before it is gone"
    assert "SELECT 'after'" in queries(served)
    text = (served.home / "events.jsonl").read_text()
    assert "person1@example.org" not in text
    token = served.token().reveal_text()
    assert token.partition(".")[0] not in text
    assert (served.home / "events.jsonl").stat().st_mode & 0o777 == 0o600
    served.start()


def test_a_full_sink_refuses(served: Served) -> None:
    """While its flag is up a client is told so in its own protocol; when there is room it is served again."""
    flag = served.home / "export" / "archive.full"

    def refused() -> bool:
        # The exporter sees within a second that it is not full, and takes the flag away.
        flag.touch()
        try:
            served.connect().close()
        except psycopg.OperationalError as error:
            return 'export sink "archive" is full' in str(error)
        return False

    until(refused, "a session is refused")
    until(lambda: not flag.exists(), "there is room")
    served.connect().close()
