"""What every database must do for people who sign in."""

import asyncio
from dataclasses import replace

from ostiary.signin.people import (
    BROWSER,
    IDLE_SECONDS,
    Code,
    DeviceRequest,
    DeviceState,
    LocalAdmin,
    Login,
    Passkey,
    Who,
)
from ostiary.store import Store
from tests.approvals.fakes import NOW

WHO = Who("corp", "ünïcode", ("b", "a"), {"email": "a@b"}, "corp")
LOGIN = Login("id-1", "h1", "s1", "ostiary-cli", WHO, "[::1]:5", NOW + 0.25, NOW + 0.25, NOW + 1000.5)
CODE = Code("c1", "ostiary-cli", "http://127.0.0.1:1/callback", "x" * 43, WHO, NOW + 60)
DEVICE = DeviceRequest("d1", "BCDFGHJK", "ostiary-cli", "192.0.2.1:5", NOW, NOW + 600, 5.0, NOW - 5)


async def people_logins(one: Store, two: Store) -> None:
    """A login comes back exactly, is rotated once, and is gone when it was ended, or its time is over."""
    here, there = one.people, two.people
    assert await here.add_login(LOGIN, 3)
    assert await there.login("h1") == LOGIN
    assert await there.login("h2") is None
    rotated = (each.rotate("id-1", "s1", f"s2-{number}") for number, each in enumerate((here, there, here, there)))
    assert sum(await asyncio.gather(*rotated)) == 1
    await there.seen("id-1", NOW + 9)
    after = await here.login("h1")
    assert after is not None
    assert (after.secret[:3], after.seen_at) == ("s2-", NOW + 9)
    browser = replace(LOGIN, login_id="id-2", handle="h2", client=BROWSER, secret="")
    assert await there.add_login(browser, 3)
    assert await there.add_login(replace(LOGIN, login_id="id-3", handle="h3"), 3)
    late = replace(LOGIN, login_id="id-4", handle="h4", created_at=NOW + IDLE_SECONDS - 1, expires_at=NOW + 9999)
    assert not await here.add_login(replace(late, created_at=NOW + 1), 3)
    assert await here.add_login(replace(late, created_at=NOW + 1000.5), 3)
    assert await here.login("h1") is None
    assert await here.login("h2") is None
    assert [each.login_id for each in await there.end_all("corp", "ünïcode")] == ["id-4"]
    assert not await here.end_login("id-4")


async def people_codes(one: Store, two: Store) -> None:
    """A code is used by one, who is known to all who come later; old ones are forgotten."""
    assert await one.people.add_code(CODE, 1, NOW)
    assert not await two.people.add_code(replace(CODE, digest="c2"), 1, NOW)
    stores = (one, two, one, two)
    used = await asyncio.gather(*(store.people.use_code("c1", f"l{n}") for n, store in enumerate(stores)))
    winners = [found for found in used if found is not None and found[1]]
    assert len(winners) == 1
    assert {found[0].login_id for found in used if found is not None} == {winners[0][0].login_id}
    assert replace(winners[0][0], login_id="") == CODE
    assert await one.people.use_code("nothing", "l") is None
    assert await two.people.add_code(replace(CODE, digest="c3"), 1, NOW + 60 + 3600.5)
    assert await one.people.use_code("c1", "l") is None


async def people_devices(one: Store, two: Store) -> None:
    """A device is decided on once, polled slower and slower when it hurries, and taken once."""
    here, there = one.people, two.people
    assert await here.add_device(DEVICE, 2)
    assert not await there.add_device(replace(DEVICE, digest="d2"), 2)
    assert await there.device("BCDFGHJK") == DEVICE
    assert await here.poll_device("d1", NOW, 5.0) == DEVICE
    assert await here.poll_device("d1", NOW + 1, 5.0) == replace(DEVICE, polled_at=NOW)
    assert await there.poll_device("d1", NOW + 20, 5.0) == replace(DEVICE, polled_at=NOW + 1, interval=10.0)
    decided = await asyncio.gather(*(each.decide_device("BCDFGHJK", WHO) for each in (here, there, here, there)))
    assert sum(decided) == 1
    assert not await here.decide_device("BCDFGHJK", None)
    found = await there.device("BCDFGHJK")
    assert found is not None
    assert (found.state, found.who) == (DeviceState.CONFIRMED, WHO)
    assert sum(await asyncio.gather(*(each.take_device("d1") for each in (here, there, here)))) == 1
    assert await here.poll_device("d1", NOW, 5.0) is None
    assert await here.add_device(replace(DEVICE, digest="d3", user_code="X", expires_at=NOW + 1), 1)
    assert await here.add_device(replace(DEVICE, digest="d4", created_at=NOW + 1), 1)


async def people_admin(one: Store, two: Store) -> None:
    """A link is used once, by whoever is quicker; counters move only from what was seen."""
    here, there = one.people, two.people
    assert await here.admin("admin") is None
    await here.offer_link("admin", "l1", NOW + 10)
    await there.offer_link("admin", "l2", NOW + 10)
    assert await here.admin("admin") == LocalAdmin("admin", link="l2", link_until=NOW + 10)
    keys = (Passkey("id", "key", 1),)
    assert not await here.set_up("admin", "l1", NOW, "hash", ())
    assert not await here.set_up("admin", "l2", NOW + 10, "hash", ())
    done = await asyncio.gather(*(each.set_up("admin", "l2", NOW, "hash", keys) for each in (here, there, here)))
    assert sum(done) == 1
    assert await there.admin("admin") == LocalAdmin("admin", "hash", keys)
    after = (Passkey("id", "key", 2),)
    counted = await asyncio.gather(*(each.count_passkey("admin", keys, after) for each in (here, there)))
    assert sum(counted) == 1
    assert not await here.set_up("admin", "", NOW, "x", ())
