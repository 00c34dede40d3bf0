"""`examples/ci-job/job.sh` as GitHub's runner starts it, against a gateway; a stand-in gives it the job's token."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.real.gateway import Gateway
from tests.real.served import AUDIENCE, serving
from tests.real.servers import PostgresServer

JOB = Path(__file__).parent.parent.parent / "examples/ci-job/job.sh"
#: What the runner lets the job ask with.
CREDENTIAL = "runner-canary-71c4"


@pytest.fixture(scope="module")
def gateway(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for the module."""
    target = (postgres15.host, postgres15.port, "postgres")
    home = tmp_path_factory.mktemp("job")
    with serving(home, target, postgres15.superuser, postgres15.password) as running:
        yield running


@contextmanager
def token_service(token: str) -> Iterator[str]:
    """Answers as GitHub's does; its URL has a query already, as GitHub's has."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            known = self.headers["Authorization"] == f"bearer {CREDENTIAL}" and asked.get("audience") == [AUDIENCE]
            self.send_response(200 if known else 401)
            self.end_headers()
            if known:
                self.wfile.write(json.dumps({"count": 4096, "value": token}).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token?api-version=2.0"
        finally:
            server.shutdown()
            thread.join(10)


def job(gateway: Gateway, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run it, with a token of the gateway's issuer to be had."""
    with token_service(gateway.token) as url:
        return subprocess.run(
            ["sh", str(JOB), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={
                "PATH": os.environ["PATH"],
                "PGHOST": "localhost",
                "PGPORT": str(gateway.port),
                "PGDATABASE": "orders",
                "PGSSLMODE": "verify-full",
                "PGSSLROOTCERT": str(gateway.ca),
                "ACTIONS_ID_TOKEN_REQUEST_URL": url,
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": CREDENTIAL,
                "AUDIENCE": AUDIENCE,
                **environment,
            },
        )


def test_it_connects_with_the_jobs_own_token(gateway: Gateway) -> None:
    """It gets in without a password being stored anywhere, and its exit code is the job's."""
    done = job(gateway, "-Atc", "SELECT 6 * 7")
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")
    denied = job(gateway, "-c", "DELETE FROM public.ledger", "-c", "SELECT 'went on'")
    assert denied.returncode == 1
    assert 'denied by policy "no-unbounded-delete-of-ledgers"' in denied.stderr
    assert "went on" not in denied.stdout


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": ""}, "the job needs `permissions: {id-token: write}`"),
        ({"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "another"}, "401"),
    ],
)
def test_without_a_token_there_is_no_connection(gateway: Gateway, environment: dict[str, str], sentence: str) -> None:
    """The job fails with the reason, before psql starts; the runner's credential is not repeated."""
    done = job(gateway, "-Atc", "SELECT 7", **environment)
    assert done.returncode != 0
    assert done.stdout == ""
    assert sentence in done.stderr
    assert CREDENTIAL not in done.stderr
