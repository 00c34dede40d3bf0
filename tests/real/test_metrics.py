"""What scrapers and readers of the log see of `ostiary serve`: true numbers, and nothing that is secret."""

import json
from collections.abc import Iterator

import httpx2
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ostiary.core import Secret
from tests.real.servers import PostgresServer
from tests.real.serving import ADMIN_PASSWORD, Served, running, until

DATABASE = "metricserved"
CANARY = "canary-7f3b"


@pytest.fixture(scope="module")
def served(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One gateway for the module, with its listener for scrapers."""
    with running(postgres15, tmp_path_factory.mktemp("metrics") / "home", DATABASE) as made:
        made.end()
        text = made.config.read_text().replace("api: 127.0.0.1:0}", "api: 127.0.0.1:0, metrics: 127.0.0.1:0}")
        made.config.write_text(text.replace("  tls: auto\n", "  tls: auto\n  log: {level: debug}\n"))
        made.start()
        yield made
    assert "Traceback" not in made.log.read_text()


def page(served: Served) -> str:
    """A scrape."""
    port = served.events("serving")[-1]["metrics"]
    answer = httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=20)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def value(served: Served, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(page(served))
        for sample in family.samples
        if sample.name == f"ostiary_{name}" and labels.items() <= sample.labels.items()
    )


def test_a_session_is_counted(served: Served) -> None:
    """Opened, live, its statements, rows, bytes and masked columns, its credential, and its end."""
    with served.connect() as connection:
        assert connection.execute("SELECT email FROM people ORDER BY id").fetchall()
        with pytest.raises(psycopg.Error, match="denied by policy"):
            connection.execute("DELETE FROM people")
        assert value(served, "sessions", target="shop", protocol="postgres") == 1
        assert value(served, "leases", target="shop", state="active") == 1
        assert value(served, "statements_total", target="shop", verdict="allow") >= 1
        assert value(served, "statements_refused_total", target="shop", kind="policy") == 1
        assert value(served, "rows_total", target="shop") >= 10
        assert value(served, "masked_columns_total", target="shop") == 1
        assert value(served, "bytes_total", direction="to_target") > 100
        assert value(served, "bytes_total", direction="to_client") > 300
    until(lambda: value(served, "lease_seconds_count", operation="revoke", result="ok") == 1, "revoked")
    assert value(served, "lease_seconds_count", operation="create", result="ok") == 1
    assert value(served, "sessions_opened_total", target="shop") == 1
    assert value(served, "identify_seconds_count", issuer="ci", result="ok") >= 1
    assert value(served, "key_fetches_total", issuer="ci") == 1
    assert value(served, "key_fetches_failed_total") == 0
    until(lambda: value(served, "recordings_total", event="sealed") == 1, "sealed")
    assert value(served, "sessions") == 0
    assert value(served, "event_loop_lag_seconds_count") >= 1
    assert value(served, "build_info") == 1
    assert value(served, "policy_version") >= 1


def test_refused_sessions_are_counted_by_kind(served: Served) -> None:
    """A token that is bad, and targets that are made up: these have no series."""
    before = value(served, "sessions_refused_total", kind="policy")
    with pytest.raises(psycopg.OperationalError):
        served.connect(Secret("a.b.c"))
    for number in range(5):
        with pytest.raises(psycopg.OperationalError):
            served.connect(dbname=f"made-up-{number}")
    assert value(served, "sessions_refused_total", kind="identity", target="") >= 1
    assert value(served, "sessions_refused_total", kind="policy", target="") == before + 5
    assert "made-up" not in page(served)
    assert value(served, "identify_seconds_count", issuer="", result="identity") >= 1


def test_reloads_are_counted(served: Served) -> None:
    """Those that went well, and those that did not."""
    good = (served.home / "policies" / "served.cedar").read_text()
    served.policy("nonsense")
    until(lambda: value(served, "reloads_total", result="failed") >= 1, "a failed reload")
    served.policy(good)
    until(lambda: value(served, "reloads_total", result="ok") >= 1, "a reload")


def test_who_may_scrape(served: Served) -> None:
    """On the API with `view`; on the listener nothing but the page, and it listens on loopback."""
    assert served.api("GET", "/metrics", None).status_code == 401
    assert served.api("GET", "/metrics", served.token()).status_code == 403
    answer = served.api("GET", "/metrics", served.token("olga", "ops"))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-cache")
    assert "ostiary_build_info" in answer.text
    url = f"http://127.0.0.1:{served.events('serving')[-1]['metrics']}"
    assert httpx2.get(f"{url}/api/v1/sessions").status_code == 404
    assert httpx2.get(f"{url}/healthz").status_code == 404
    assert httpx2.post(f"{url}/metrics").status_code == 405


def test_nothing_secret_is_told(served: Served) -> None:
    """Canaries in tokens, statements, values, headers and addresses come up neither in the log nor in metrics."""
    token = served.token("olga", "ops")
    served.api("GET", f"/api/v1/sessions?token={CANARY}-query", token)
    served.api("GET", f"/login/{CANARY}-link", None)
    served.api("GET", "/api/v1/sessions", Secret(f"{CANARY}-bearer"))
    served.api("POST", "/oauth/token", None, {"client_secret": f"{CANARY}-body"}, Cookie=f"s={CANARY}-cookie")
    with pytest.raises(psycopg.OperationalError):
        served.connect(Secret(f"{CANARY}-password"))
    with served.connect() as connection:
        connection.execute(f"SELECT '{CANARY}-value'")
        with pytest.raises(psycopg.Error):
            connection.execute(f"SELECT {CANARY.replace('-', '_')}_column")
    log, metrics = served.log.read_text(), page(served)
    for text in (log, metrics):
        for secret in (CANARY, CANARY.replace("-", "_"), token.reveal_text(), ADMIN_PASSWORD):
            assert secret not in text
    seen = [(each["method"], each["route"], each["status"]) for each in served.events("api: served")]
    assert ("GET", "/api/v1/sessions", 422) in seen
    assert ("GET", "", 404) in seen
    by = {each["by"] for each in served.events("api: served") if each["route"] == "/api/v1/sessions"}
    assert by == {"", "ci:olga"}
    ids = [each["request_id"] for each in served.events("api: served")]
    assert len(set(ids)) == len(ids)
    assert value(served, "api_request_seconds_count", route="/api/v1/sessions", status="422") == 1


def test_every_line_of_the_log_is_an_object(served: Served) -> None:
    """With an event, a level and a time."""
    for line in served.log.read_text().splitlines():
        told = json.loads(line)
        assert {"event", "level", "timestamp"} <= told.keys()
