"""A role per session: whatever step fails, it is said, and trying again finishes."""

import re

import pytest

from ostiary.credentials import EnvSource, PostgresRoleCredential, PostgresRoleIssuer, RevokeFailed, SweepReport
from ostiary.credentials.issuer import IssueFailed
from ostiary.credentials.postgres_admin import AdminError
from tests.credentials.fakes import TARGET, FakeServer, Role

CREDENTIAL = PostgresRoleCredential("gateway", EnvSource("X"), ("app_rw",), max_ttl=300.0)
NAME = "ostiary_orders_l1"


def issuer(server: FakeServer, node: str = "n1") -> PostgresRoleIssuer:
    """At second 1000."""
    return PostgresRoleIssuer(TARGET, CREDENTIAL, server, node, lambda: 1000.0)


async def test_lease_names_the_role_and_ends_with_the_session_or_the_cap() -> None:
    """`VALID UNTIL` is the earlier of the two; the password is 256 random bits and not in the statement."""
    server = FakeServer()
    lease = await issuer(server).issue("l1", 1100.0)
    capped = await issuer(server).issue("l2", 9999.0)
    assert (lease.username, lease.kind, lease.expires_at, capped.expires_at) == (NAME, "postgres-role", 1100.0, 1300.0)
    assert lease.password is not None
    assert capped.password is not None
    assert len(lease.password) == 43
    assert lease.password != capped.password
    script = server.calls[1]
    assert "VALID UNTIL '1970-01-01T00:18:20+00:00' IN ROLE \"app_rw\"" in script
    assert re.search(
        r"PASSWORD 'SCRAM-SHA-256\$4096:[A-Za-z0-9+/=]{24}\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}'", script
    )
    assert lease.password.reveal_text() not in repr((server.calls, lease))


async def test_a_token_that_is_over_gets_no_role() -> None:
    """The server is not even asked."""
    server = FakeServer()
    with pytest.raises(IssueFailed, match="lifetime is over") as caught:
        await issuer(server).issue("l1", 1000.0)
    assert caught.value.clean
    assert server.calls == []


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("step", [0, 1])
async def test_failure_to_create_tells_whether_something_may_be_left(step: int, clean: bool) -> None:
    """The client gets the code and where to look, not the server's words."""
    server = FakeServer()
    server.fail_at = step
    server.error = AdminError("db answered: permission denied for hunter2", "42501", clean=clean)
    with pytest.raises(IssueFailed) as caught:
        await issuer(server).issue("l1", 1100.0)
    assert str(caught.value) == ('a role for this session could not be created on target "orders" (SQLSTATE 42501)')
    assert caught.value.hint == "the gateway's log has the server's answer"
    assert caught.value.clean is clean


def busy(server: FakeServer) -> None:
    """A role that is connected and owns something here and elsewhere."""
    server.roles[NAME] = Role("ostiary lease l1 node n1", backends=2, databases={"shop", "other"})


async def test_a_quiet_role_is_gone_in_five_questions() -> None:
    """No connection, nothing owned: no membership is taken, nothing is reassigned."""
    server = FakeServer()
    await issuer(server).issue("l1", 1100.0)
    server.calls.clear()
    assert await issuer(server).revoke("l1", NAME) == f"role {NAME} dropped, 0 backends left"
    assert [call.split()[0] for call in server.calls] == ["session", "SELECT", "ALTER", "SELECT", "DROP", "SELECT"]


async def test_a_busy_role_is_gone_from_every_database() -> None:
    """The door is shut before connections end; objects change hands in each database."""
    server = FakeServer()
    busy(server)
    assert await issuer(server).revoke("l1", NAME) == f"role {NAME} dropped, 0 backends left"
    assert server.roles == {}
    assert "session other" in server.calls
    assert (
        server.calls.count('REASSIGN OWNED BY "ostiary_orders_l1" TO "app_rw"; DROP OWNED BY "ostiary_orders_l1"') == 2
    )


@pytest.mark.parametrize("step", range(13))
async def test_whichever_step_fails_a_second_try_leaves_nothing(step: int) -> None:
    """The first says that it is not confirmed and why; the second ends with the server's own word."""
    server = FakeServer()
    busy(server)
    server.fail_at = step
    with pytest.raises(RevokeFailed, match=f"role {NAME} may still exist: 127.0.0.1:5432 did not answer in time"):
        await issuer(server).revoke("l1", NAME)
    server.fail_at = None
    assert re.fullmatch(
        f"role {NAME} (dropped, 0 backends left|is gone already)",
        await issuer(server).revoke("l1", NAME),
    )
    assert server.roles == {}
    assert server.open == 0


async def test_thirteen_are_all_the_steps() -> None:
    """Otherwise the test above would miss some."""
    server = FakeServer()
    busy(server)
    await issuer(server).revoke("l1", NAME)
    assert len(server.calls) == 13


async def test_backends_that_do_not_end_are_told() -> None:
    """The role stays, locked out; nothing of it is touched."""
    server = FakeServer()
    busy(server)
    server.immortal = True
    with pytest.raises(RevokeFailed, match="can no longer log in, but its backends did not end"):
        await issuer(server).revoke("l1", NAME)
    assert not server.roles[NAME].login
    assert server.roles[NAME].databases == {"shop", "other"}


async def test_only_the_leases_own_mark_is_touched() -> None:
    """No comment, another lease's comment: the role is left as it is."""
    server = FakeServer()
    for comment in ("", "ostiary lease l2 node n1", "the DBA's own"):
        server.roles[NAME] = Role(comment)
        with pytest.raises(RevokeFailed, match="does not carry the mark of lease l1; it is left alone"):
            await issuer(server).revoke("l1", NAME)
        assert server.roles[NAME].login


@pytest.mark.parametrize("immortal", [True, False])
async def test_an_unanswered_creation_is_settled_before_it_is_revoked(immortal: bool) -> None:
    """While the process that was asked still runs, that there is no role proves nothing."""
    server = FakeServer()
    made = issuer(server)
    server.fail_at = 1
    with pytest.raises(IssueFailed):
        await made.issue("l1", 1100.0)
    server.fail_at, server.immortal = None, immortal
    if immortal:
        with pytest.raises(RevokeFailed, match="may still come to exist"):
            await made.revoke("l1", NAME)
        server.immortal = False
    assert await made.revoke("l1", NAME) == f"role {NAME} is gone already"
    server.calls.clear()
    await made.revoke("l1", NAME)
    assert len(server.calls) == 2


async def test_another_node_that_is_quicker_does_no_harm() -> None:
    """The role vanishes under our hands at any step; the server's last word counts, and only that."""

    class Shared(FakeServer):
        vanish_at = 0

        def step(self, what: str) -> None:
            if len(self.calls) == self.vanish_at:
                self.roles.clear()
            super().step(what)

    for step in range(13):
        shared = Shared()
        busy(shared)
        shared.vanish_at = step
        assert re.search("dropped, 0 backends left|is gone", await issuer(shared).revoke("l1", NAME))
    server = FakeServer()
    busy(server)
    server.fail_at, server.error = 2, AdminError("gone", "42704", clean=True)
    with pytest.raises(RevokeFailed, match="still there, 2 backends left"):
        await issuer(server).revoke("l1", NAME)


async def test_a_collision_with_another_node_is_tried_again_twice() -> None:
    """PostgreSQL calls it an internal error; the third one is told."""
    server = FakeServer()
    busy(server)
    server.fail_at, server.error = 2, AdminError("tuple concurrently updated", "XX000", clean=False)
    assert (await issuer(server).revoke("l1", NAME)).endswith("dropped, 0 backends left")

    class Stubborn(FakeServer):
        def step(self, what: str) -> None:
            super().step(what)
            if what.startswith("ALTER"):
                raise AdminError("tuple concurrently updated", "XX000", clean=False)

    stubborn = Stubborn()
    busy(stubborn)
    with pytest.raises(RevokeFailed, match="tuple concurrently updated"):
        await issuer(stubborn).revoke("l1", NAME)
    assert stubborn.calls.count("session shop") == 3


async def test_sweep_goes_on_after_a_failure() -> None:
    """Each that could not be dropped is told; active and foreign ones are not touched."""
    server = FakeServer()
    for lease_id in ("a1", "a2", "a3", "a4"):
        server.roles[f"ostiary_x_{lease_id}"] = Role(f"ostiary lease {lease_id} node old")
    server.roles["ostiary_person"] = Role("a person's")
    server.roles["ostiary_x_b1"] = Role("ostiary lease other node old")
    server.fail_at = 3
    report = await issuer(server, "n2").sweep({"a4"})
    assert report == SweepReport(
        ("ostiary_x_a2", "ostiary_x_a3"),
        ("role ostiary_x_a1 may still exist: 127.0.0.1:5432 did not answer in time",),
    )
    assert set(server.roles) == {"ostiary_x_a1", "ostiary_x_a4", "ostiary_person", "ostiary_x_b1"}


@pytest.mark.parametrize("node", ["", "x" * 65, "it's", "a b"])
def test_node_names_that_could_break_a_comment_are_refused(node: str) -> None:
    """They stand inside a literal."""
    with pytest.raises(ValueError, match="no name of a node"):
        issuer(FakeServer(), node)
