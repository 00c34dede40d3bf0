"""A role per session, on PostgreSQL 15 and 18, with an admin that has the documented grants and no more."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from ostiary.core import Lease, Principal, PrincipalKind, Target, TlsMode, TlsSettings
from ostiary.credentials import (
    EnvSource,
    FileSource,
    LeaseService,
    PostgresAdmin,
    PostgresRoleCredential,
    PostgresRoleIssuer,
    RevokeFailed,
    SweepReport,
    postgres_admin,
)
from ostiary.credentials.postgres_admin import AdminError
from ostiary.gate.ports import Refused
from ostiary.runtime.dial import target_context
from tests.real.relay import relay
from tests.real.servers import PostgresServer, free_port

AdminOverTls = Callable[..., Awaitable[bool]]

ADMIN_PASSWORD = "adm1n-canary-7f3a"
DATABASES = ("shop", "other")


@dataclass(frozen=True)
class Place:
    """A server prepared as docs/credentials.md says."""

    server: PostgresServer
    target: Target
    credential: PostgresRoleCredential

    def issuer(self, sweep_grace: float = 300.0) -> PostgresRoleIssuer:
        """As the composition root makes it."""
        admin = PostgresAdmin(self.target, self.credential, target_context)
        return PostgresRoleIssuer(self.target, self.credential, admin, "n1", time.time, sweep_grace)

    def connect(self, lease: Lease, database: str = "shop") -> psycopg.Connection[tuple[object, ...]]:
        """What the gateway does with a lease."""
        return psycopg.connect(self.server.dsn(database, lease.username, lease.password), autocommit=True)

    def roles(self) -> list[str]:
        """Session roles on the server."""
        rows = self.server.run("SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'ostiary_') ORDER BY 1")
        return [name for (name,) in rows]


@pytest.fixture(scope="module", params=["postgres15", "postgres18"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Each version, with databases, a group role and a least-privilege admin."""
    server: PostgresServer = request.getfixturevalue(request.param)
    grants: list[LiteralString] = [
        "CREATE ROLE app_rw",
        "CREATE ROLE gateway LOGIN CREATEROLE",
        *(("GRANT app_rw TO gateway WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",) if server.version >= 16 else ()),
        "CREATE DATABASE shop",
        "CREATE DATABASE other",
        "GRANT CREATE ON DATABASE shop TO app_rw",
    ]
    for statement in grants:
        server.run(statement)
    with psycopg.connect(server.dsn()) as connection:
        verifier = connection.pgconn.encrypt_password(ADMIN_PASSWORD.encode(), b"gateway", b"scram-sha-256")
        connection.execute(sql.SQL("ALTER ROLE gateway PASSWORD {}").format(verifier.decode()))
    for database in DATABASES:
        server.run("GRANT CREATE ON SCHEMA public TO app_rw", database=database)
    path = tmp_path_factory.mktemp("admin") / "password"
    path.write_text(ADMIN_PASSWORD + "\n")
    path.chmod(0o600)
    target = Target("shop", "postgres", server.host, server.port, "shop", tls=TlsSettings(TlsMode.DISABLE))
    yield Place(server, target, PostgresRoleCredential("gateway", FileSource(path), ("app_rw",)))
    for database in DATABASES:
        server.run("DROP OWNED BY app_rw", database=database)
        server.run(f"DROP DATABASE {database}")
    server.run("DROP ROLE gateway, app_rw")


@pytest.fixture
async def issuer(place: Place) -> AsyncIterator[PostgresRoleIssuer]:
    """An issuer whose every role must be gone at the end."""
    issuer = place.issuer()
    yield issuer
    await issuer.aclose()
    left = place.roles()
    for name in left:
        place.server.run(f"DROP OWNED BY {name}", database="shop")
        place.server.run(f"DROP ROLE {name}")
    assert left == []


def principal(seconds: float = 600.0) -> Principal:
    """A job whose session may last so long."""
    until = time.time() + seconds
    return Principal(PrincipalKind.WORKLOAD, "ci", "shop", frozenset(), until, until, "jti")


async def test_role_has_its_limits_while_it_lives_and_is_gone_after(place: Place, issuer: PostgresRoleIssuer) -> None:
    """LOGIN and nothing else, VALID UNTIL the session's end, its groups, its mark; then no role at all."""
    until = time.time() + 600
    lease = await issuer.issue("0123456789abcdef", until)
    assert lease.username == "ostiary_shop_0123456789abcdef"
    row = place.server.run(
        "SELECT rolcanlogin, rolinherit, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,"
        " rolconnlimit, extract(epoch FROM rolvaliduntil)::float8, shobj_description(oid, 'pg_authid'),"
        " ARRAY(SELECT m.roleid::regrole::text FROM pg_auth_members m WHERE m.member = r.oid)"
        " FROM pg_roles r WHERE rolname = %s",
        (lease.username,),
    )
    assert row == [
        (True, True, False, False, False, False, False, 2, pytest.approx(until, abs=1e-3),
         "ostiary lease 0123456789abcdef node n1", ["app_rw"])
    ]  # fmt: skip
    with place.connect(lease) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (lease.username,)
    assert await issuer.revoke(lease.lease_id, lease.username) == f"role {lease.username} dropped, 0 backends left"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        place.connect(lease)


async def test_password_is_in_no_log_and_the_verifier_is_scram(place: Place, issuer: PostgresRoleIssuer) -> None:
    """The server logs every statement, and has seen neither the session's password nor the admin's."""
    lease = await issuer.issue("aa", time.time() + 60)
    assert lease.password is not None
    ((stored,),) = place.server.run("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (lease.username,))
    assert stored.startswith("SCRAM-SHA-256$4096:")
    await issuer.revoke(lease.lease_id, lease.username)
    logged = place.server.logged()
    assert f'CREATE ROLE "{lease.username}"' in logged
    assert lease.password.reveal_text() not in logged
    assert ADMIN_PASSWORD not in logged


async def test_open_connections_are_ended(place: Place, issuer: PostgresRoleIssuer) -> None:
    """Also one in a transaction that holds locks."""
    lease = await issuer.issue("bb", time.time() + 60)
    with place.connect(lease) as first, place.connect(lease) as second:
        second.execute("BEGIN; CREATE TABLE public.half_done (id int)")
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            place.connect(lease)
        assert (await issuer.revoke("bb", lease.username)).endswith("dropped, 0 backends left")
        for connection in (first, second):
            with pytest.raises(psycopg.OperationalError, match="terminat"):
                connection.execute("SELECT 1")


async def test_what_it_owns_in_any_database_gets_another_owner(place: Place, issuer: PostgresRoleIssuer) -> None:
    """Tables, schemas, functions and their data stay, owned by the group; grants and default privileges go."""
    lease = await issuer.issue("cc", time.time() + 60)
    with place.connect(lease) as connection:
        connection.execute("CREATE TABLE public.kept (id int); INSERT INTO public.kept VALUES (7)")
        connection.execute("CREATE SCHEMA mine; CREATE TYPE mine.mood AS ENUM ('ok')")
        connection.execute("CREATE FUNCTION mine.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
        connection.execute("CREATE TEMP TABLE scratch (id int)")
    with place.connect(lease, "other") as connection:
        connection.execute("CREATE TABLE public.elsewhere (id int)")
    place.server.run(
        "CREATE TABLE granted (id int); ALTER TABLE granted OWNER TO app_rw;GRANT SELECT ON granted TO ostiary_shop_cc",
        database="shop",
    )
    assert (await issuer.revoke("cc", lease.username)).endswith("dropped, 0 backends left")
    owner: LiteralString = "SELECT relowner::regrole::text FROM pg_class WHERE oid = %s::regclass"
    assert place.server.run(owner, ("public.kept",), "shop") == [("app_rw",)]
    assert place.server.run(owner, ("public.elsewhere",), "other") == [("app_rw",)]
    assert place.server.run("SELECT id FROM public.kept", database="shop") == [(7,)]
    assert place.server.run("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname='mine'", None, "shop") == [
        ("app_rw",)
    ]
    assert place.server.run("SELECT count(*) FROM pg_default_acl", database="shop") == [(0,)]
    place.server.run("DROP TABLE granted", database="shop")


async def test_what_it_may_not_undo_is_not_confirmed_and_can_be_tried_again(
    place: Place, issuer: PostgresRoleIssuer
) -> None:
    """A stranger's grant to the role: revoking says what is in the way, the door stays shut, a retry finishes."""
    lease = await issuer.issue("nn", time.time() + 60)
    place.server.run("CREATE TABLE strange (id int); GRANT SELECT ON strange TO ostiary_shop_nn", database="shop")
    with pytest.raises(RevokeFailed, match=r"may still exist.*privileges for table public.strange \(SQLSTATE 2BP01\)"):
        await issuer.revoke("nn", lease.username)
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        place.connect(lease)
    place.server.run("DROP TABLE strange", database="shop")
    assert (await issuer.revoke("nn", lease.username)).endswith("dropped, 0 backends left")


async def test_revoking_twice_is_the_same_as_once(issuer: PostgresRoleIssuer) -> None:
    """The second one says that there is nothing left to do."""
    lease = await issuer.issue("dd", time.time() + 60)
    told = await asyncio.gather(*(issuer.revoke("dd", lease.username) for _ in range(4)))
    assert all(sentence.endswith(("dropped, 0 backends left", "is gone already")) for sentence in told)
    assert await issuer.revoke("dd", lease.username) == f"role {lease.username} is gone already"


async def test_a_role_without_our_mark_is_left_alone(place: Place, issuer: PostgresRoleIssuer) -> None:
    """Whatever its name says."""
    place.server.run("CREATE ROLE ostiary_shop_ee VALID UNTIL '2001-01-01'")
    with pytest.raises(RevokeFailed, match="does not carry the mark"):
        await issuer.revoke("ee", "ostiary_shop_ee")
    assert (await issuer.sweep(())).dropped == ()
    place.server.run("COMMENT ON ROLE ostiary_shop_ee IS 'ostiary lease other node n1'")
    assert (await issuer.sweep(())).dropped == ()
    place.server.run("DROP ROLE ostiary_shop_ee")


async def test_sweep_takes_what_a_dead_process_left(place: Place, issuer: PostgresRoleIssuer) -> None:
    """Over and unused: dropped by any node. Still valid, in use, or known to be active: kept."""
    leases = {name: await issuer.issue(name, time.time() + 600) for name in ("over", "valid", "used", "known")}
    later = replace(place, server=place.server).issuer(sweep_grace=0.0)
    with place.connect(leases["used"]):
        for name in ("over", "used", "known"):
            place.server.run(f"ALTER ROLE ostiary_shop_{name} VALID UNTIL '2001-01-01'")
        report = await later.sweep({"known"})
    await later.aclose()
    assert report == SweepReport(dropped=("ostiary_shop_over",))
    assert place.roles() == ["ostiary_shop_known", "ostiary_shop_used", "ostiary_shop_valid"]
    for name in ("valid", "used", "known"):
        await issuer.revoke(name, leases[name].username)


async def test_a_role_just_over_is_not_swept(issuer: PostgresRoleIssuer) -> None:
    """Its own session is ending it."""
    lease = await issuer.issue("ff", time.time() + 0.001)
    assert await issuer.sweep(()) == SweepReport()
    await issuer.revoke("ff", lease.username)


async def test_twenty_sessions_at_once(place: Place) -> None:
    """Through the service: twenty roles, twenty logins, then none, over at most four admin connections."""
    service = LeaseService({"shop": place.issuer()})
    leases = await asyncio.gather(*(service.lease(f"s{n}", principal(), place.target) for n in range(20)))
    assert sorted(lease.username for lease in leases) == place.roles()
    ((admins,),) = place.server.run("SELECT count(*) FROM pg_stat_activity WHERE usename = 'gateway'")
    assert 1 <= admins <= 4
    for lease in leases[:3]:
        with place.connect(lease):
            pass
    told = await asyncio.gather(*(service.revoke(place.target, lease) for lease in leases[:10]))
    assert all(sentence.endswith("dropped, 0 backends left") for sentence in told)
    await service.aclose()
    assert place.roles() == []
    assert service.leases == ()


async def test_a_restart_of_the_server_costs_no_session(place: Place, issuer: PostgresRoleIssuer) -> None:
    """Admin connections that died while idle are replaced before a statement meets them."""
    await issuer.revoke("gg", (await issuer.issue("gg", time.time() + 60)).username)
    place.server.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'gateway'")
    await issuer.revoke("hh", (await issuer.issue("hh", time.time() + 60)).username)


async def test_connections_that_fell_silent_are_replaced(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall forgot four idle connections: the next statement finds out, drops them all, and goes on a new one."""
    monkeypatch.setattr(postgres_admin, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(postgres_admin, "CONNECT_SECONDS", 1.0)
    async with relay(place.server.port) as between:
        issuer = replace(place, target=replace(place.target, port=between.port)).issuer()
        leases = await asyncio.gather(*(issuer.issue(f"q{n}", time.time() + 60) for n in range(4)))
        assert len(between.connections) == 4
        between.freeze()
        for lease in leases:
            assert (await issuer.revoke(lease.lease_id, lease.username)).endswith("dropped, 0 backends left")
        # A new one, and the request to cancel what the first silent one was asked.
        assert len(between.connections) <= 6
        await issuer.aclose()
    assert place.roles() == []


async def test_a_role_whose_creation_was_never_confirmed_is_taken_back(place: Place) -> None:
    """The server made it, the answer was lost: the client is refused and no role stays."""
    async with relay(place.server.port) as between:
        service = LeaseService({"shop": replace(place, target=replace(place.target, port=between.port)).issuer()})
        between.cut_after = b"CREATE ROLE"
        with pytest.raises(Refused, match="could not be created"):
            await service.lease("s", principal(), place.target)
        (waiting,) = service.leases
        await service.aclose()
    assert f'CREATE ROLE "{waiting.username}"' in place.server.logged()
    assert service.leases == ()
    assert place.roles() == []


async def test_wrong_admin_password_is_a_refusal(place: Place, tmp_path: Path) -> None:
    """The client learns the code, not the server's words; nothing is left to take back."""
    path = tmp_path / "password"
    path.write_text("wrong-canary")
    path.chmod(0o600)
    bad = replace(place, credential=replace(place.credential, admin_password=FileSource(path)))
    service = LeaseService({"shop": bad.issuer()})
    with pytest.raises(Refused) as caught:
        await service.lease("s", principal(), place.target)
    assert caught.value.refusal.message == (
        'a role for this session could not be created on target "shop" (SQLSTATE 28P01)'
    )
    assert service.leases == ()
    assert "wrong-canary" not in place.server.logged()
    await service.aclose()


async def test_a_group_that_is_not_there_is_a_refusal(place: Place) -> None:
    """The whole transaction is undone: no role without its group."""
    bad = replace(place, credential=replace(place.credential, member_of=('no"such', "app_rw")))
    service = LeaseService({"shop": bad.issuer()})
    with pytest.raises(Refused, match="SQLSTATE 42704"):
        await service.lease("s", principal(), place.target)
    assert place.roles() == []
    assert service.leases == ()
    await service.aclose()


async def test_revoking_on_a_server_that_is_down_is_not_confirmed(place: Place) -> None:
    """It raises with the address and the reason."""
    down = replace(place, target=replace(place.target, port=free_port())).issuer()
    with pytest.raises(RevokeFailed, match=r"role x may still exist: 127\.0\.0\.1:\d+: ConnectionRefusedError"):
        await down.revoke("jj", "x")
    with pytest.raises(RevokeFailed, match="could not be listed"):
        await down.sweep(())
    await down.aclose()


async def test_password_variables_of_libpq_have_no_say(
    place: Place, issuer: PostgresRoleIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the gateway's environment says about PostgreSQL is not about its targets."""
    for name, value in {"PGPASSWORD": "nope", "PGSSLMODE": "verify-full", "PGHOST": "192.0.2.1", "PGUSER": "x"}.items():
        monkeypatch.setenv(name, value)
    assert await issuer.revoke("kk", issuer.username("kk")) == "role ostiary_shop_kk is gone already"


@pytest.fixture
async def admin_over_tls(postgres15: PostgresServer) -> AsyncIterator[AdminOverTls]:
    """Asks PostgreSQL 15, as the superuser, whether the admin connection is under TLS."""

    async def ask(tls: TlsSettings, host: str = "127.0.0.1", user: str = "auth_password") -> bool:
        target = Target("shop", "postgres", host, postgres15.port, "postgres", tls=tls)
        credential = PostgresRoleCredential(user, None if user == "auth_cert" else EnvSource("ADMIN_OVER_TLS"))
        admin = PostgresAdmin(target, credential, target_context)
        try:
            async with admin.session() as session:
                ((encrypted,),) = await session.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                return bool(encrypted)
        finally:
            await admin.aclose()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADMIN_OVER_TLS", postgres15.password.reveal_text())
        yield ask


async def test_admin_connection_follows_the_targets_tls(
    postgres15: PostgresServer, admin_over_tls: AdminOverTls
) -> None:
    """Disable is plain; the others are TLS, by address and by name; a certificate may stand in for the password."""
    ca = str(postgres15.ca)
    assert not await admin_over_tls(TlsSettings(TlsMode.DISABLE))
    assert await admin_over_tls(TlsSettings(TlsMode.REQUIRE))
    assert await admin_over_tls(TlsSettings(TlsMode.VERIFY_CA, ca))
    assert await admin_over_tls(TlsSettings(TlsMode.VERIFY_FULL, ca))
    assert await admin_over_tls(TlsSettings(TlsMode.VERIFY_FULL, ca), host="localhost")
    own = TlsSettings(TlsMode.VERIFY_FULL, ca, str(postgres15.client_cert), str(postgres15.client_key))
    assert await admin_over_tls(own, user="auth_cert")


async def test_an_untrusted_server_gets_no_password(
    postgres15: PostgresServer, postgres18: PostgresServer, admin_over_tls: AdminOverTls
) -> None:
    """Unknown authority, or no TLS at all: an error, never a fallback. A CA given to `require` is checked too."""
    del postgres18
    for mode in (TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL):
        with pytest.raises(AdminError, match="SSLCertVerificationError"):
            await admin_over_tls(TlsSettings(mode))
    with pytest.raises(AdminError, match="FileNotFoundError"):
        await admin_over_tls(TlsSettings(TlsMode.REQUIRE, "/nonexistent/ca.pem"))
    with pytest.raises(AdminError, match="SQLSTATE 28"):
        await admin_over_tls(TlsSettings(TlsMode.VERIFY_FULL, str(postgres15.ca)), user="auth_cert")


async def test_a_server_without_tls_is_refused(postgres18: PostgresServer, tmp_path: Path) -> None:
    """`require` towards a server that has no TLS fails before any login."""
    path = tmp_path / "password"
    path.write_bytes(postgres18.password.reveal())
    path.chmod(0o600)
    tls = TlsSettings(TlsMode.REQUIRE)
    target = Target("shop", "postgres", postgres18.host, postgres18.port, "postgres", tls=tls)
    admin = PostgresAdmin(target, PostgresRoleCredential("postgres", FileSource(path)), target_context)
    with pytest.raises(AdminError, match="SSL"):
        async with admin.session():
            pass
    await admin.aclose()
