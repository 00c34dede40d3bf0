"""What is measured: one PostgreSQL, reached directly, through PgBouncer, through the gateway."""

import os
import pwd
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from tests.real.certificates import Authority
from tests.real.served import serving
from tests.real.servers import PostgresServer, Unavailable, free_port, postgres_15

PGBOUNCER = Path("/usr/sbin/pgbouncer")
DATABASE = "bench"
ROWS = 1_000_000
#: Everyone is this user on the server, let in without a password: logins are not what is measured.
USER = "auth_trust"
_SETTINGS = ("log_statement=none", "log_connections=off", "shared_buffers=256MB", "max_connections=1200", "jit=off")


@dataclass(frozen=True, slots=True)
class System:
    """One way to the server."""

    name: str
    host: str
    port: int
    database: str
    password: str
    #: The process in between, whose CPU is counted; None when there is none.
    process: psutil.Process | None

    def environment(self, *, tls: bool) -> dict[str, str]:
        """For libpq programs."""
        return os.environ | {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGDATABASE": self.database,
            "PGUSER": USER,
            "PGPASSWORD": self.password,
            "PGSSLMODE": "require" if tls else "disable",
            "PGGSSENCMODE": "disable",
        }

    def conninfo(self, *, tls: bool) -> str:
        """For libpq in this process."""
        return psycopg.conninfo.make_conninfo(
            host=self.host,
            port=self.port,
            dbname=self.database,
            user=USER,
            password=self.password,
            sslmode="require" if tls else "disable",
            gssencmode="disable",
        )

    def cpu(self) -> float:
        """CPU seconds its process has used, in user and kernel mode."""
        if self.process is None:
            return 0.0
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss(self) -> int:
        """Resident bytes of its process."""
        return 0 if self.process is None else int(self.process.memory_info().rss)


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything up."""

    server: PostgresServer
    direct: System
    pgbouncer: System
    gateway: System

    @property
    def systems(self) -> tuple[System, System, System]:
        """In the order they are printed."""
        return self.direct, self.pgbouncer, self.gateway


@contextmanager
def raised(rows: int = ROWS) -> Iterator[Stack]:
    """The server with its data, PgBouncer, the gateway. Raises Unavailable naming what is missing."""
    if not PGBOUNCER.exists():
        raise Unavailable("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    home = Path(tempfile.mkdtemp(prefix="ostiary-bench-"))
    try:
        with postgres_15(*_SETTINGS) as server:
            _fill(server, rows)
            with _pgbouncer(home / "pgbouncer", server) as pooler, fresh_gateway(server) as gateway:
                yield Stack(server, System("direct", server.host, server.port, DATABASE, "none", None), pooler, gateway)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def fresh_gateway(server: PostgresServer) -> Iterator[System]:
    """`ostiary serve` with policy, masking of one column, recording."""
    masked = (("public.people.email", "pii"),)
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-") as home:
        target = (server.host, server.port, DATABASE)
        with serving(Path(home), target, USER, server.password, masked) as gateway:
            process = psutil.Process(gateway.process.pid)
            yield System("gateway", gateway.host, gateway.port, "orders", gateway.token, process)


def _fill(server: PostgresServer, rows: int) -> None:
    server.run("CREATE DATABASE bench OWNER auth_trust")
    direct = System("direct", server.host, server.port, DATABASE, "", None)
    subprocess.run(
        [str(server.bin / "pgbench"), "-i", "-q", "-s", "1"],
        env=direct.environment(tls=False),
        capture_output=True,
        check=True,
    )
    with psycopg.connect(direct.conninfo(tls=False), autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE people (id int PRIMARY KEY, email text, city text, born date, balance numeric)"
        )
        connection.execute(
            "INSERT INTO people SELECT i, 'person.' || i || '@example.org', 'city ' || i %% 1000,"
            " date '1950-01-01' + i %% 20000, (i %% 100000) / 100.0 FROM generate_series(1, %s) i",
            (rows,),
        )
        connection.execute("VACUUM ANALYZE")


@contextmanager
def _pgbouncer(home: Path, server: PostgresServer) -> Iterator[System]:
    home.mkdir()
    port = free_port()
    certificate, key = Authority("bench CA").issue("127.0.0.1", ("127.0.0.1", "localhost"))
    (home / "server.crt").write_bytes(certificate)
    (home / "server.key").write_bytes(key)
    (home / "users.txt").write_text(f'"{USER}" ""\n')
    (home / "pgbouncer.ini").write_text(
        f"""\
[databases]
{DATABASE} = host={server.host} port={server.port} dbname={DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = session
auth_type = trust
auth_file = {home}/users.txt
max_client_conn = 2000
default_pool_size = 100
client_tls_sslmode = allow
client_tls_cert_file = {home}/server.crt
client_tls_key_file = {home}/server.key
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
logfile = {home}/log
"""
    )
    command = [str(PGBOUNCER), "-q", str(home / "pgbouncer.ini")]
    if os.geteuid() == 0:
        pwd.getpwnam("postgres")
        home.parent.chmod(0o711)
        for path in (home, *home.iterdir()):
            shutil.chown(path, "postgres", "postgres")
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    system = System("pgbouncer", "127.0.0.1", port, DATABASE, "none", psutil.Process(process.pid))
    try:
        _wait(system, process, home / "log")
        yield system
    finally:
        process.terminate()
        process.wait(20)


def _wait(system: System, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(system.conninfo(tls=False)).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > end:
                told = log.read_text()[-500:] if log.exists() else ""
                raise Unavailable(f"PgBouncer did not start: {error} {told}") from None
            time.sleep(0.05)
        else:
            return
