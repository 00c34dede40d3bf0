"""Leases: whatever goes wrong, what may exist on a target is known and taken back."""

import asyncio
from dataclasses import replace

import pytest

from ostiary.core import RefusalKind, Secret
from ostiary.credentials import (
    EnvSource,
    LeaseService,
    LeaseState,
    RevokeFailed,
    StaticCredential,
    StaticIssuer,
    SweepReport,
)
from ostiary.credentials import service as module
from ostiary.credentials.issuer import IssueFailed
from ostiary.gate.ports import Credentials, Refused
from tests.credentials.fakes import PRINCIPAL, TARGET, FakeIssuer


def serving(issuer: FakeIssuer) -> LeaseService:
    """One target."""
    service = LeaseService({"orders": issuer})
    port: Credentials = service
    del port
    return service


async def settle(service: LeaseService) -> None:
    """Until no revocation runs."""
    while running := list(service._revocations.values()):
        await asyncio.wait(running)


async def test_a_lease_is_known_from_intent_to_confirmation() -> None:
    """Its entry has all that is needed to revoke it, and no password."""
    issuer = FakeIssuer()
    issuer.gate = asyncio.Event()
    service = serving(issuer)
    asking = asyncio.create_task(service.lease("s1", PRINCIPAL, TARGET))
    await issuer.started.wait()
    (intent,) = service.leases
    assert (intent.state, intent.session_id, intent.username) == (
        LeaseState.INTENT, "s1", f"ostiary_orders_{intent.lease_id}",
    )  # fmt: skip
    issuer.gate.set()
    lease = await asking
    assert (lease.lease_id, lease.expires_at) == (intent.lease_id, PRINCIPAL.session_until)
    (active,) = service.leases
    assert active == replace(intent, state=LeaseState.ACTIVE)
    assert await service.revoke(TARGET, lease) == f"role {lease.username} dropped, 0 backends left"
    assert service.leases == ()


async def test_a_target_without_credential_is_refused() -> None:
    """With the sentence that names it."""
    with pytest.raises(Refused) as caught:
        await serving(FakeIssuer()).lease("s1", PRINCIPAL, replace(TARGET, name="nope"))
    assert caught.value.refusal.kind is RefusalKind.CREDENTIAL
    assert caught.value.refusal.message == 'target "nope" has no credential'


async def test_a_clean_failure_leaves_no_entry() -> None:
    """Nothing exists, so nothing is revoked."""
    issuer = FakeIssuer()
    issuer.issue_error = IssueFailed("no", "look there", clean=True)
    service = serving(issuer)
    with pytest.raises(Refused, match="no") as caught:
        await service.lease("s1", PRINCIPAL, TARGET)
    assert caught.value.refusal.hint == "look there"
    assert service.leases == ()
    assert issuer.revocations == []


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (IssueFailed("lost", "x", clean=False), Refused),
        (TimeoutError(), Refused),
        (RuntimeError("bug"), RuntimeError),
    ],
)
async def test_an_unsure_failure_is_taken_back(error: BaseException, raised: type[BaseException]) -> None:
    """What may exist is revoked at once, though nobody holds the lease."""
    issuer = FakeIssuer()
    issuer.issue_error = error
    service = serving(issuer)
    with pytest.raises(raised):
        await service.lease("s1", PRINCIPAL, TARGET)
    await settle(service)
    assert issuer.existing == set()
    assert service.leases == ()


async def test_a_client_that_goes_away_while_asking_leaves_nothing() -> None:
    """Cancelled in the middle, as the gate does when it has waited long enough."""
    issuer = FakeIssuer()
    issuer.gate = asyncio.Event()
    service = serving(issuer)
    asking = asyncio.create_task(service.lease("s1", PRINCIPAL, TARGET))
    await issuer.started.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await settle(service)
    assert issuer.existing == set()
    assert service.leases == ()


async def test_an_issuer_that_hangs_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """In time for a readable sentence."""
    monkeypatch.setattr(module, "ISSUE_SECONDS", 0.0)
    issuer = FakeIssuer()
    issuer.gate = asyncio.Event()
    service = serving(issuer)
    with pytest.raises(Refused, match='target "orders" gave no credential in time'):
        await service.lease("s1", PRINCIPAL, TARGET)
    await settle(service)
    assert service.leases == ()


async def test_a_failed_revocation_is_tried_again_by_the_next_sweep() -> None:
    """The lease stays known as revoking until the target has confirmed."""
    issuer = FakeIssuer()
    service = serving(issuer)
    lease = await service.lease("s1", PRINCIPAL, TARGET)
    other = await service.lease("s2", PRINCIPAL, TARGET)
    issuer.revoke_error = RevokeFailed("target is down")
    with pytest.raises(RevokeFailed, match="target is down"):
        await service.revoke(TARGET, lease)
    await service.sweep()
    assert {entry.lease_id: entry.state for entry in service.leases} == {
        lease.lease_id: LeaseState.REVOKING,
        other.lease_id: LeaseState.ACTIVE,
    }
    issuer.revoke_error = None
    await service.sweep()
    assert [entry.lease_id for entry in service.leases] == [other.lease_id]
    assert issuer.swept[-1] == {other.lease_id}


async def test_revocation_goes_on_when_the_caller_gives_up_and_runs_once() -> None:
    """Two ask, one goes away: one revocation, one confirmation."""
    issuer = FakeIssuer()
    service = serving(issuer)
    lease = await service.lease("s1", PRINCIPAL, TARGET)
    issuer.revoking = asyncio.Event()
    first = asyncio.create_task(service.revoke(TARGET, lease))
    second = asyncio.create_task(service.revoke(TARGET, lease))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    issuer.revoking.set()
    assert (await second).endswith("dropped, 0 backends left")
    assert issuer.revocations == [lease.lease_id]


async def test_revoking_an_unknown_lease_asks_the_target() -> None:
    """A lease of a process that is gone, or one that was revoked before."""
    issuer = FakeIssuer()
    service = serving(issuer)
    lease = await service.lease("s1", PRINCIPAL, TARGET)
    await service.revoke(TARGET, lease)
    assert await service.revoke(TARGET, lease)
    assert issuer.revocations == [lease.lease_id] * 2
    assert service.leases == ()
    with pytest.raises(RevokeFailed, match='"gone" has no credential configured'):
        await service.revoke(replace(TARGET, name="gone"), lease)


async def test_closing_takes_everything_back_also_what_is_being_made() -> None:
    """And lends nothing more."""
    issuer = FakeIssuer()
    service = serving(issuer)
    await service.lease("s1", PRINCIPAL, TARGET)
    issuer.gate = asyncio.Event()
    issuer.started.clear()
    asking = asyncio.create_task(service.lease("s2", PRINCIPAL, TARGET))
    await issuer.started.wait()
    closing = asyncio.create_task(service.aclose())
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="stopping"):
        await service.lease("s3", PRINCIPAL, TARGET)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not closing.done()
    issuer.gate.set()
    with pytest.raises(Refused, match="stopping"):
        await asking
    await closing
    assert issuer.existing == set()
    assert service.leases == ()
    assert issuer.closed


async def test_closing_ends_in_time_and_says_what_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A target that hangs can't keep the gateway from stopping; the account that stays is named."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.0)
    issuer = FakeIssuer()
    service = serving(issuer)
    lease = await service.lease("s1", PRINCIPAL, TARGET)
    issuer.revoking = asyncio.Event()
    await service.aclose()
    shown = capsys.readouterr().out
    assert "credential not taken back" in shown
    assert lease.username in shown
    assert issuer.closed


async def test_one_target_that_can_not_be_swept_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    """Each failure is logged, each success too."""
    down, fine = FakeIssuer(), FakeIssuer()
    down.report = RuntimeError("down")
    fine.report = SweepReport(("ostiary_x_1",), ("role ostiary_x_2 may still exist: why",))
    await LeaseService({"down": down, "fine": fine}).sweep()
    shown = capsys.readouterr().out
    for text in ("RuntimeError: down", "ostiary_x_1", "role ostiary_x_2 may still exist: why"):
        assert text in shown


async def test_sweeping_begins_at_once_and_goes_on() -> None:
    """At start, then every so many seconds."""
    issuer = FakeIssuer()
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await serving(issuer).run(60.0, pause)
    assert pauses == [60.0] * 3
    assert len(issuer.swept) == 3


async def test_debts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lent while too much waits to be taken back; a sweep tries the oldest first, some at a time."""
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    monkeypatch.setattr(module, "RETRY_BATCH", 2)
    issuer = FakeIssuer()
    issuer.issue_error = IssueFailed("lost", "x", clean=False)
    issuer.revoke_error = RevokeFailed("down")
    service = serving(issuer)
    for _ in range(3):
        with pytest.raises(Refused, match="lost"):
            await service.lease("s", PRINCIPAL, TARGET)
    await settle(service)
    with pytest.raises(Refused, match="too many credentials wait"):
        await service.lease("s", PRINCIPAL, TARGET)
    issuer.revocations.clear()
    await service.sweep()
    await service.sweep()
    assert len(issuer.revocations) == 4
    assert len(set(issuer.revocations)) == 3


async def test_static_account_is_read_at_every_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotated password is used by the next session; a missing one is a refusal that does not name the source."""
    service = LeaseService({"orders": StaticIssuer(StaticCredential("app", EnvSource("OSTIARY_T")))})
    for value in ("c4nary-one", "c4nary-two"):
        monkeypatch.setenv("OSTIARY_T", value)
        lease = await service.lease("s1", PRINCIPAL, TARGET)
        assert (lease.username, lease.password, lease.kind, lease.expires_at) == ("app", Secret(value), "static", None)
        assert value not in repr(lease)
        assert await service.revoke(TARGET, lease) == "static account app: nothing to revoke"
    monkeypatch.delenv("OSTIARY_T")
    with pytest.raises(Refused, match="could not read its password") as caught:
        await service.lease("s1", PRINCIPAL, TARGET)
    assert "OSTIARY_T" not in repr(caught.value.refusal)
    assert service.leases == ()
    await service.sweep()
    await service.aclose()


async def test_static_account_without_password() -> None:
    """Trust, or a client certificate."""
    issuer = StaticIssuer(StaticCredential("app"))
    assert issuer.username("l1") == "app"
    assert (await issuer.issue("l1", 0.0)).password is None
