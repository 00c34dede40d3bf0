"""Which open sessions must end."""

from dataclasses import replace

from ostiary.accounts.identity import Liveness
from tests.accounts.fakes import ME, World


async def test_sessions_of_accounts_that_were_closed() -> None:
    """Disabled, expired, without the key that opened it, gone; nobody else."""
    world = World()
    live = Liveness(world.repository, world.clock)
    mine = await world.login(await world.secret())
    other = await world.login(await world.secret("other"))
    human = replace(mine, issuer="corp")
    everyone = [mine, human, other]
    assert await live.ended(everyone) == ["", "", ""]
    await world.control.disable(ME, "billing")
    assert await live.ended(everyone) == ['service account "billing" is disabled', "", ""]
    await world.control.enable(ME, "billing")
    await world.control.rotate(ME, "billing", 10.0)
    assert await live.ended(everyone) == ["", "", ""]
    world.now += 10
    (said, *rest) = await live.ended(everyone)
    assert ("removed or has expired" in said, rest) == (True, ["", ""])
    await world.control.remove_key(ME, "other", other.proof_id)
    assert "removed or has expired" in (await live.ended([other]))[0]
    del world.repository.accounts["billing"]
    assert await live.ended([mine]) == ["its service account is gone"]


async def test_a_store_that_does_not_answer() -> None:
    """Sessions go on for half a minute, then nobody's account is believed to be good; others go on."""
    world = World()
    live = Liveness(world.repository, world.clock)
    mine = await world.login(await world.secret())
    human = replace(mine, issuer="corp")
    world.repository.broken = RuntimeError("down")
    world.now += 29
    assert await live.ended([mine, human]) == ["", ""]
    world.now += 1
    assert await live.ended([mine, human]) == ["the state store does not answer, and says no more who may stay", ""]
    world.repository.broken = None
    assert await live.ended([mine, human]) == ["", ""]
