"""Which open sessions must end."""

from dataclasses import replace

from ostiary.accounts.identity import Liveness
from tests.accounts.fakes import ME, World, opened


async def test_sessions_of_accounts_that_were_closed() -> None:
    """Disabled, expired, without the key that opened it, gone; nobody else."""
    world = World()
    live = Liveness(world.repository, world.clock)
    mine = await world.login(await world.secret())
    other = await world.login(await world.secret("other"))
    human = replace(mine, issuer="corp")
    everyone = [mine, human, other]
    assert await live.ended([opened(each) for each in everyone]) == ["", "", ""]
    await world.control.disable(ME, "billing")
    assert await live.ended([opened(each) for each in everyone]) == ['service account "billing" is disabled', "", ""]
    await world.control.enable(ME, "billing")
    await world.control.rotate(ME, "billing", 10.0)
    assert await live.ended([opened(each) for each in everyone]) == ["", "", ""]
    world.now += 10
    (said, *rest) = await live.ended([opened(each) for each in everyone])
    assert ("removed or has expired" in said, rest) == (True, ["", ""])
    await world.control.remove_key(ME, "other", other.proof_id)
    assert "removed or has expired" in (await live.ended([opened(other)]))[0]
    del world.repository.accounts["billing"]
    assert await live.ended([opened(mine)]) == ["its service account is gone"]


async def test_a_store_that_does_not_answer() -> None:
    """Sessions go on for half a minute, then nobody's account is believed to be good; others go on."""
    world = World()
    live = Liveness(world.repository, world.clock)
    mine = await world.login(await world.secret())
    human = replace(mine, issuer="corp")
    world.repository.broken = RuntimeError("down")
    world.now += 29
    assert await live.ended([opened(mine), opened(human)]) == ["", ""]
    world.now += 1
    assert await live.ended([opened(mine), opened(human)]) == [
        "the state store does not answer, and says no more who may stay",
        "",
    ]
    world.repository.broken = None
    assert await live.ended([opened(mine), opened(human)]) == ["", ""]


async def test_sessions_that_their_account_has_outgrown() -> None:
    """Targets, networks and groups that were narrowed end the sessions that need what is gone, and no other."""
    world = World()
    live = Liveness(world.repository, world.clock)
    mine = await world.login(await world.secret(groups=["app", "b"]))

    async def told(target: str = "orders", source: str = "10.0.0.1:5") -> str:
        (said,) = await live.ended([opened(mine, target, source)])
        return said

    async def edit(**wanted: object) -> None:
        await world.control.edit(ME, "billing", wanted)

    assert await told() == ""
    await edit(targets=("orders",))
    assert (await told(), await told("stock")) == ("", 'service account "billing" is not for this target any more')
    await edit(targets=(), networks=("10.0.0.0/8",))
    assert (await told(), await told(source="192.0.2.1:5")) == (
        "",
        'service account "billing" may not come from this address any more',
    )
    await edit(networks=(), groups=("app", "b", "c"))
    assert await told() == ""
    await edit(groups=("app",))
    assert await told() == 'service account "billing" is not in all its groups any more'
