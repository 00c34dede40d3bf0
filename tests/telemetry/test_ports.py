"""Ports with a watch beside them pass on what they are answered, and count how it ended."""

import asyncio

import pytest

from ostiary.app.observing import count_request, issuer_named, read_gate
from ostiary.core import Action, Outcome, Permit, Proof, Refusal, RefusalKind, Secret, Shape, Stage
from ostiary.gate.gate import Gate, Hold
from ostiary.gate.ports import Decision, HoldRequest, Refused
from ostiary.identity import OidcIssuer
from ostiary.telemetry import Meter, families
from ostiary.telemetry.families import Family
from ostiary.telemetry.ports import MeasuredApprovals, MeasuredCredentials, MeasuredIdentity
from tests.gate.fakes import ALLOW, DENY, HOLD, PRINCIPAL, PROOF, TARGET, World

ACTION = Action(Shape((), "SELECT"), "select 1")
REQUEST = HoldRequest("s1", 1, PRINCIPAL, TARGET, ACTION, (), ("dba",), (), "")


def counts(meter: Meter, family: Family) -> dict[tuple[str, ...], float]:
    """How often, by labels."""
    return {labels: sum(values[:-1]) for labels, values in meter.numbers().get(family.name, {}).items()}


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (None, "ok"),
        (Refused(Refusal(RefusalKind.IDENTITY, "no")), "identity"),
        (TimeoutError(), "timeout"),
        (ValueError(), "internal"),
    ],
)
async def test_identity(fault: BaseException | None, result: str) -> None:
    """By who is verified, or else by whom the proof names."""
    world, meter = World(), Meter()
    if fault is not None:
        world.faults.on["identify"] = fault
    measured = MeasuredIdentity(world, meter, lambda _: "named")
    if fault is None:
        assert await measured.identify(PROOF) is PRINCIPAL
    else:
        with pytest.raises(type(fault)) as raised:
            await measured.identify(PROOF)
        assert raised.value is fault
    assert counts(meter, families.IDENTIFY) == {("ci" if fault is None else "named", result): 1}


async def test_identity_that_hangs() -> None:
    """Whoever waits gives up; that is a timeout."""
    world, meter = World(), Meter()
    world.faults.on["identify"] = "hang"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await MeasuredIdentity(world, meter, lambda _: "").identify(PROOF)
    assert counts(meter, families.IDENTIFY) == {("", "timeout"): 1}


def test_only_configured_issuers_are_named() -> None:
    """A token may say what it likes: what is not configured has no name."""
    named = issuer_named([OidcIssuer("ci", "https://ci.example", ("x",))])

    def claims(payload: str) -> str:
        from joserfc.util import urlsafe_b64encode

        token = b"e30." + urlsafe_b64encode(payload.encode()) + b".c2ln"
        return named(Proof(Secret(token), "t", "h:1", encrypted=True, loopback=False))

    assert claims('{"iss":"https://ci.example"}') == "ci"
    assert claims('{"iss":"https://evil.example"}') == ""
    assert claims('{"iss":["x"]}') == ""
    assert claims('{"iss":"robot"}') == "service-accounts"
    assert named(PROOF) == ""


async def test_credentials() -> None:
    """Lent, taken back, and both failed."""
    world, meter = World(), Meter()
    measured = MeasuredCredentials(world, meter)
    lease = await measured.lease("s1", PRINCIPAL, TARGET)
    assert await measured.revoke(TARGET, lease)
    world.faults.on |= {"lease": OSError(), "revoke": OSError()}
    for failing in (measured.lease("s2", PRINCIPAL, TARGET), measured.revoke(TARGET, lease)):
        with pytest.raises(OSError, match=r"^$"):
            await failing
    every = {("orders", operation, result): 1 for operation in ("create", "revoke") for result in ("ok", "failed")}
    assert counts(meter, families.LEASE) == every


@pytest.mark.parametrize(
    ("decision", "result"),
    [(Decision(True, ("a",)), "approved"), (Decision(False, ("a",)), "denied"), (Decision(False), "expired")],
)
async def test_approvals(decision: Decision, result: str) -> None:
    """By what people said, or that nobody said anything."""
    world, meter = World(), Meter()
    world.decision = decision
    pending = await MeasuredApprovals(world, meter).request(REQUEST)
    assert (pending.approval_id, pending.notice[:4]) == ("7K2P", "held")
    assert await pending.decided() is decision
    await pending.withdraw("why")
    assert world.withdrawn == ["why"]
    assert counts(meter, families.APPROVAL_WAIT) == {("orders", result): 1}


async def test_approvals_that_end_otherwise() -> None:
    """The client goes away, or the store fails."""
    world, meter = World(), Meter()
    world.faults.on["decided"] = "hang"
    waiting = asyncio.create_task((await MeasuredApprovals(world, meter).request(REQUEST)).decided())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    world.faults.on["decided"] = OSError()
    with pytest.raises(OSError, match=r"^$"):
        await (await MeasuredApprovals(world, meter).request(REQUEST)).decided()
    assert counts(meter, families.APPROVAL_WAIT) == {("orders", "withdrawn"): 1, ("orders", "failed"): 1}


# ---------------------------------------------------------------- the gate's own


def read(gate: Gate) -> dict[tuple[str, ...], float]:
    """What the gate counted, without zeros."""
    return {(family.name[8:], *labels): value for family, labels, value in read_gate(gate) if value}


async def test_the_gate_counts_statements() -> None:
    """Permitted, refused by what, put to people; rows and masked columns of those that ended."""
    world = World()
    gate = Gate(world.ports(), lambda: world.time, lambda: "s1")
    session = await gate.connect(PROOF)
    assert isinstance(session.judge(1, ACTION, Stage.RUN), Permit)
    session.observe(1, Outcome("ok", "SELECT 3", rows=3, bytes=30))
    world.ruling = DENY
    session.judge(2, ACTION, Stage.RUN)
    world.ruling = HOLD
    world.when_held = [("ruling", ALLOW)]
    held = session.judge(3, ACTION, Stage.RUN)
    assert isinstance(held, Hold)
    await session.hold(held, lambda _: None)
    at = ("orders", "postgres")
    assert read(gate) == {
        ("sessions_opened", *at): 1,
        ("statements", *at, "allow"): 2,
        ("statements", *at, "hold"): 1,
        ("statements_refused", *at, "policy"): 1,
        ("rows", *at): 3,
    }


async def test_the_gate_counts_refused_sessions() -> None:
    """By kind; a made-up target has no series of its own."""
    world = World()
    gate = Gate(world.ports(), lambda: world.time, lambda: "s1")
    world.faults.on["lease"] = Refused(Refusal(RefusalKind.CREDENTIAL, "none"))
    for proof in (PROOF, *(Proof(Secret("a"), f"made-up-{n}", "h:1", True, False) for n in range(10_000))):
        with pytest.raises(Refused):
            await gate.connect(proof)
    assert read(gate) == {
        ("sessions_refused", "orders", "postgres", "credential"): 1,
        ("sessions_refused", "", "", "policy"): 10_000,
    }


def test_requests_are_counted_by_template() -> None:
    """Method, route, status."""
    from ostiary.api.access_log import Served

    meter = Meter()
    count_request(meter, Served("GET", "/api/v1/sessions/{session_id}", 200, 0.01))
    assert counts(meter, families.REQUESTS) == {("GET", "/api/v1/sessions/{session_id}", "200"): 1}
