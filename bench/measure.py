"""The measurements. Each is short and repeated; what is compared was measured next to each other."""

import re
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg

from bench.stack import Stack, System, fresh_gateway

MODES = ("simple", "extended", "prepared")
CLIENTS = (1, 8, 32)
_PROCESSED = re.compile(r"actually processed: (\d+)")
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_FAILED = re.compile(r"failed transactions: ([1-9]\d*)")


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting of pgbench."""

    mode: str
    clients: int
    tls: bool

    def __str__(self) -> str:
        return f"{self.mode}, {self.clients} client{'s' * (self.clients > 1)}, TLS {'on' if self.tls else 'off'}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of pgbench."""

    per_second: float
    #: CPU of the process in between, in microseconds a query; 0 when there is none.
    cpu_us: float


def cells(*, quick: bool) -> list[Cell]:
    """Every combination; both ends of the range when it has to be quick."""
    clients = (1, 32) if quick else CLIENTS
    return [Cell(mode, count, tls) for tls in (False, True) for mode in MODES for count in clients]


def select_only(stack: Stack, system: System, cell: Cell, seconds: int) -> Sample:
    """`pgbench -S`: one row by its key, as fast as it goes. Raises RuntimeError when a query failed."""
    command = [str(stack.server.bin / "pgbench"), "-n", "-S", "-M", cell.mode, "-T", str(seconds)]
    command += ["-c", str(cell.clients), "-j", str(min(cell.clients, 2))]
    before = system.cpu()
    done = subprocess.run(
        command, env=system.environment(tls=cell.tls), capture_output=True, text=True, check=False, timeout=60 + seconds
    )
    spent = system.cpu() - before
    processed, tps = _PROCESSED.search(done.stdout), _TPS.search(done.stdout)
    if done.returncode or processed is None or tps is None or _FAILED.search(done.stdout):
        raise RuntimeError(f"pgbench failed ({system.name}, {cell}): {done.stderr[-800:]}")
    return Sample(float(tps[1]), 1e6 * spent / int(processed[1]))


#: name → how one million rows are read. psql formats each value; libpq alone only takes it; COPY is the server's way.
READERS: dict[str, Callable[[Stack, System], float]] = {}


def _reader(name: str) -> Callable[[Callable[[Stack, System], float]], Callable[[Stack, System], float]]:
    def keep(function: Callable[[Stack, System], float]) -> Callable[[Stack, System], float]:
        READERS[name] = function
        return function

    return keep


def _psql(stack: Stack, system: System, *command: str) -> float:
    started = time.perf_counter()
    subprocess.run(
        [str(stack.server.bin / "psql"), "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", *command],
        env=system.environment(tls=False),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
        timeout=300,
    )
    return time.perf_counter() - started


@_reader("SELECT, psql")
def _psql_select(stack: Stack, system: System) -> float:
    return _psql(stack, system, "-c", "SELECT * FROM people")


@_reader("SELECT, libpq")
def _libpq_select(stack: Stack, system: System) -> float:
    del stack
    with psycopg.connect(system.conninfo(tls=False), autocommit=True) as connection:
        started = time.perf_counter()
        connection.pgconn.exec_(b"SELECT * FROM people")
        return time.perf_counter() - started


@_reader(r"\copy, psql")
def _psql_copy(stack: Stack, system: System) -> float:
    return _psql(stack, system, "-c", r"\copy people TO /dev/null")


def masked_sample(system: System) -> tuple[str, int]:
    """The first address as this way shows it, and how many rows there are."""
    with psycopg.connect(system.conninfo(tls=False), autocommit=True) as connection:
        row = connection.execute("SELECT email FROM people WHERE id = 1").fetchone()
        assert row is not None
        return str(row[0]), connection.execute("SELECT id FROM people").rowcount


def idle_sessions(stack: Stack, count: int, *, tls: bool) -> float:
    """Bytes that a gateway grows by, a session that did one query and waits.

    A new gateway: what earlier sessions gave back would be taken unseen.
    """
    with fresh_gateway(stack.server) as system, ExitStack() as open_sessions:
        # Pools and caches that the first sessions fill are not the sessions'.
        for _ in range(20):
            _idle(system, open_sessions, tls=tls)
        before = system.rss()
        for _ in range(count):
            _idle(system, open_sessions, tls=tls)
        return (system.rss() - before) / count


def _idle(system: System, open_sessions: ExitStack, *, tls: bool) -> None:
    connection = open_sessions.enter_context(psycopg.connect(system.conninfo(tls=tls), autocommit=True))
    connection.execute("SELECT abalance FROM pgbench_accounts WHERE aid = 1")
