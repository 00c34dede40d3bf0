"""PostgreSQL's own programs, directly and through the gateway: what they print must be equal."""

import difflib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.real.drivers.script import Endpoint
from tests.real.gateway import SCRATCH, Gateway
from tests.real.servers import DEBIAN_15, PostgresServer
from tests.real.test_conformance import endpoints, fresh_database, through

__all__ = ["through"]

pytestmark = pytest.mark.timeout(180)
SESSION = Path(__file__).parent / "drivers" / "session.sql"


def command(to: Endpoint, program: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """Start one of PostgreSQL's programs with everything about the connection in its environment."""
    names = {"dbname": "PGDATABASE"}
    environment = {names.get(k, "PG" + k.upper()): v for k, v in to.libpq(**more).items()}
    return subprocess.Popen(
        [str(program), *arguments],
        env=os.environ | environment | {"PGGSSENCMODE": "disable", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output(to: Endpoint, program: Path, *arguments: str) -> str:
    """What it prints, errors included, and its exit code."""
    process = command(to, program, *arguments)
    printed, _ = process.communicate(timeout=120)
    return f"{printed}exit {process.returncode}"


def both(server: PostgresServer, gateway: Gateway, *, tls: bool = False) -> tuple[Endpoint, Endpoint]:
    """Endpoints on a fresh database."""
    fresh_database(server)
    return endpoints(server, gateway, tls=tls)


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_psql_session(postgres: PostgresServer, through: Gateway, tls: bool) -> None:
    """A long session prints the same, errors and all; the wheel's psql speaks no TLS, Debian's does."""
    program = (DEBIAN_15 if tls else postgres.bin) / "psql"
    printed = []
    for index in range(2):
        to = both(postgres, through, tls=tls)[index]
        text = output(to, program, "-X", "-f", str(SESSION), "-v", f"database={SCRATCH}")
        text = re.sub(r"PID \d+", "PID …", text)
        printed.append(text.replace(f"orders/{SCRATCH}", SCRATCH))
    assert printed[0].count("\n") > 200
    assert not (lines := _differences(*printed)), "\n".join(lines)


def _differences(direct: str, through: str) -> list[str]:
    return list(difflib.unified_diff(direct.splitlines(), through.splitlines(), "direct", "through", lineterm=""))


def test_psql_interrupted(postgres: PostgresServer, through: Gateway) -> None:
    """Ctrl-C cancels the statement on the server, and psql goes on."""
    _, to = both(postgres, through)
    process = command(to, postgres.bin / "psql", "-X", "-c", "SELECT 'ready'", "-c", "SELECT pg_sleep(30)")
    running = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND state = 'active'"
    end = time.monotonic() + 10
    while postgres.run(running) != [(1,)]:
        assert time.monotonic() < end, "the statement never ran"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=10)
    assert "canceling statement due to user request" in printed
    assert postgres.run(running) == [(0,)]


def test_pg_dump_of_a_table(postgres: PostgresServer, through: Gateway) -> None:
    """Data of one table, as COPY and as INSERTs."""
    direct, gated = both(postgres, through)
    filled = output(
        direct,
        postgres.bin / "psql",
        "-X",
        "-c",
        "CREATE TABLE goods (id int, name text, blob bytea, at timestamptz);"
        "INSERT INTO goods SELECT i, 'näme' || chr(9) || i, decode(lpad(to_hex(i), 8, '0'), 'hex'), 'epoch'"
        " FROM generate_series(1, 3000) i",
    )
    assert "exit 0" in filled
    for how in ((), ("--inserts",), ("--rows-per-insert=100",)):
        printed = [output(to, postgres.bin / "pg_dump", "--data-only", "-t", "goods", *how) for to in (direct, gated)]
        # A word of its own in every run since the fix of CVE-2025-8714.
        normal = [re.sub(r"\\(un)?restrict \w+", "", text) for text in printed]
        assert "exit 0" in normal[0]
        assert len(normal[0]) > 50_000
        assert normal[0] == normal[1]


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(postgres: PostgresServer, through: Gateway, mode: str) -> None:
    """The TPC-B script changes the same rows in the same way, in every mode, with many clients and pipelines."""
    direct, gated = both(postgres, through)
    bench = postgres.bin / "pgbench"
    assert "exit 0" in output(gated, bench, "-i", "-I", "dtGvp", "-q")
    printed = output(gated, bench, "-n", "-M", mode, "-c", "6", "-t", "20", "--random-seed=5")
    assert "number of failed transactions: 0" in printed
    assert "actually processed: 120/120" in printed
    checks = (
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history),"
        " (SELECT count(*) FROM pgbench_history)"
    )
    sums = [output(to, postgres.bin / "psql", "-X", "-At", "-c", checks) for to in (direct, gated)]
    assert sums == ["t|120\nexit 0"] * 2


def test_pgbench_pipeline(postgres: PostgresServer, through: Gateway, tmp_path: Path) -> None:
    """Many statements before a Sync."""
    _, gated = both(postgres, through)
    script = tmp_path / "pipeline.sql"
    script.write_text("\\startpipeline\n" + "SELECT 1;\nSELECT generate_series(1, 50);\n" * 20 + "\\endpipeline\n")
    printed = output(gated, postgres.bin / "pgbench", "-n", "-M", "extended", "-f", str(script), "-c", "3", "-t", "10")
    assert "actually processed: 30/30" in printed
