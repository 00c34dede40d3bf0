"""What a session waits for: the gate, a connect, a person, its end.

Apart from the driver because that is compiled, and mypyc's coroutines do not bear being cancelled.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import structlog

from ostiary.core import Proof, Refusal, RefusalKind, Target
from ostiary.gate.gate import Gate, GateSession, Hold
from ostiary.gate.ports import Refused
from ostiary.runtime.dial import dial, dial_aside
from ostiary.runtime.leg import Leg
from ostiary.wire.contract import AsideDone, Held, Rejected, Side

if TYPE_CHECKING:
    from ostiary.runtime.session import SessionDriver

log = structlog.get_logger()
#: Seconds to open the transport to a target.
CONNECT_SECONDS = 10.0


async def authenticate(driver: "SessionDriver", gate: Gate, proof: Proof) -> None:
    """Ask the gate; a session that is over by the time of the answer gives back what it was lent."""
    try:
        session = await gate.connect(proof)
    except Refused as refused:
        # A recording begins when somebody is known: until then this line is the only trace.
        log.warning("no session", source=proof.source, target=proof.target[:64], why=refused.refusal.message)
        if refused.refusal.kind is not RefusalKind.IDENTITY:
            driver.attempt.excused()
        driver.event(Rejected(refused.refusal))
        return
    if not driver.admitted(session):
        await session.end(driver.reason)


async def connect(driver: "SessionDriver", target: Target) -> None:
    """Open the transport to the target."""
    leg = Leg(driver, Side.TARGET)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await dial(target, leg)
    except (OSError, TimeoutError) as error:
        why = f"target {target.name} could not be reached ({type(error).__name__})"
        driver.event(Rejected(Refusal(RefusalKind.TARGET, why, "check that it is up, then try again")))
        return
    driver.connected(leg)


async def aside(driver: "SessionDriver", target: Target, data: bytes, starttls: tuple[bytes, bytes]) -> None:
    """Deliver a message on a connection of its own."""
    await dial_aside(target, data, starttls)
    driver.event(AsideDone())


async def interrupt(driver: "SessionDriver", asking: Coroutine[Any, Any, bool]) -> None:
    """Another worker is asked whether a key is one of its own."""
    driver.interrupted(await asking)


async def hold(driver: "SessionDriver", session: GateSession, held: Hold) -> None:
    """Wait for people."""
    answer = await session.hold(held, lambda notice: driver.event(Held(held.action_id, notice)))
    driver.ruled(held.action_id, answer)


async def end(
    driver: "SessionDriver", session: GateSession | None, reason: str, tasks: set[asyncio.Task[None]]
) -> None:
    """Take everything back, then wait for what is still under way."""
    try:
        if session is not None:
            await session.end(reason)
    finally:
        driver.abort()
        if tasks:
            await asyncio.wait(tasks)
