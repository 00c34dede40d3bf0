"""`ostiary serve` with an export: what happened is told, and a kill in the middle loses nothing."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ostiary.core import Secret
from tests.real.servers import PostgresServer
from tests.real.serving import Served, running, until

DATABASE = "exportserved"


SPANS: dict[str, Span] = {}
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATEMENT = "00-11111111111111111111111111111111-2222222222222222-01"


class Collector(BaseHTTPRequestHandler):
    """Takes spans, each once by its id."""

    def do_POST(self) -> None:
        """OTLP over HTTP."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            SPANS.update({span.span_id.hex(): span for scope in resource.scope_spans for span in scope.spans})
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        """Nothing."""


@contextmanager
def collecting() -> Iterator[str]:
    """A collector, by its endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture(scope="module")
def served(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway that tells everything to a file."""
    with running(postgres15, tmp_path_factory.mktemp("export") / "home", DATABASE) as made:
        made.end()
        with collecting() as endpoint:
            sinks = "export:\n  - {name: archive, type: file, path: events.jsonl, statements: all, on_full: refuse}\n"
            sinks += f"  - {{name: traces, type: otlp, endpoint: {endpoint}}}\n"
            made.config.write_text(made.config.read_text() + sinks)
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
        with pytest.raises(psycopg.OperationalError):
            served.connect(Secret("not.a.token"))
        for number in range(200):
            connection.execute(f"SELECT {number}")
        served.end(signal.SIGKILL)
    for role in served.roles():
        # What the killed gateway could not drop is the next one's at once.
        served.server.run(f"ALTER ROLE {role} VALID UNTIL '2001-01-01'")
    served.start()
    until(lambda: served.roles() == [], "the role is gone")
    until(lambda: {f"SELECT {n}" for n in range(200)} <= set(queries(served)), "all of them are told")
    with served.connect() as connection:
        connection.execute("SELECT 'after'")
    served.end()
    names = [(event["class_name"], event["activity_name"]) for event in told(served)]
    assert names[0] == ("Authentication", "Logon")
    assert ("Authentication", "Logoff") in names, "what ended with the gateway is told before it is gone"
    assert "SELECT 'after'" in queries(served)
    failed = [event for event in told(served) if (event["class_uid"], event["status"]) == (3002, "Failure")]
    assert [event["unmapped"]["client"] for event in failed] == ["session of shop"], "the token that was refused"
    text = (served.home / "events.jsonl").read_text()
    assert "person1@example.org" not in text
    token = served.token().reveal_text()
    assert token.partition(".")[0] not in text
    assert (served.home / "events.jsonl").stat().st_mode & 0o777 == 0o600
    served.start()


def test_a_session_joins_the_caller_s_trace(served: Served) -> None:
    """By `application_name`, which goes on to the target as it is; a statement by its comment."""
    with served.connect(application_name=CALLER) as connection:
        assert connection.execute("SHOW application_name").fetchall() == [(CALLER,)]
        connection.execute(f"SELECT email FROM people /*traceparent='{STATEMENT}'*/")
    session = until(
        lambda: next((span for span in SPANS.values() if span.parent_span_id.hex() == CALLER[36:52]), None), "a span"
    )
    assert session.trace_id.hex() == CALLER[3:35]
    of_statement = until(
        lambda: next((span for span in SPANS.values() if span.trace_id.hex() == STATEMENT[3:35]), None), "its span"
    )
    assert of_statement.parent_span_id.hex() == STATEMENT[36:52]
    assert of_statement.links[0].span_id == session.span_id
    assert of_statement.name == "read shop"
    assert "SELECT" not in str(SPANS)


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
