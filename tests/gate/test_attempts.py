"""Who may try to log in, in the middle of a flood: strangers, known networks, those behind one address."""

import pytest

from ostiary.core import Principal, Proof, RefusalKind, Secret
from ostiary.gate import attempts as module
from ostiary.gate import limited
from ostiary.gate.attempts import Attempts, network_of, refusal
from ostiary.gate.limited import LimitedIdentity
from ostiary.gate.ports import Refused
from ostiary.identity.refuse import refused
from tests.gate.fakes import PRINCIPAL

HERE, THERE = "192.0.2.7", "192.0.2.8"


class Scene:
    """Attempts and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.attempts = Attempts(lambda: self.now)

    def tried(self, network: str, *, good: bool = False) -> bool:
        """An attempt: was it let in?"""
        if self.attempts.wait(network) > 0.0:
            return False
        attempt = self.attempts.begin(network)
        (attempt.proven if good else attempt.failed)()
        return True

    def flood(self, networks: list[str], seconds: float, rate: int) -> int:
        """How many of so many bad attempts a second were looked at."""
        looked = 0
        for number in range(int(seconds * rate)):
            looked += self.tried(networks[number % len(networks)])
            self.now += 1 / rate
        return looked


@pytest.mark.parametrize(
    ("source", "network"),
    [
        ("192.0.2.7:5000", "192.0.2.7"),
        ("2001:db8:0:1::7:5000", "20010db800000001/64".lstrip("0")),
        ("2001:db8:0:1:ffff::9:5000", "20010db800000001/64"),
        ("[2001:db8:0:1::7]:5000", "20010db800000001/64"),
        ("fe80::1%eth0:5000", "fe80000000000000/64"),
        ("::ffff:192.0.2.7:5000", "192.0.2.7"),
        ("unknown:0", "unknown"),
    ],
)
def test_networks(source: str, network: str) -> None:
    """IPv4 by address, however it is written; IPv6 by the /64 that one host can fill."""
    assert network_of(source) == network


def test_a_stranger_that_fails() -> None:
    """A burst, then one attempt in two seconds; it is told how long; another address does not notice."""
    scene = Scene()
    burst, rate = module.STRANGER
    assert [scene.tried(HERE) for _ in range(int(burst) + 1)] == [True] * int(burst) + [False]
    assert scene.attempts.wait(HERE) == pytest.approx(1 / rate)
    assert scene.tried(THERE)
    scene.now += 1 / rate
    assert [scene.tried(HERE), scene.tried(HERE)] == [True, False]
    assert scene.attempts.turned_away == 3


def test_good_callers_are_not_counted() -> None:
    """Ten thousand logins at once, from one address."""
    scene = Scene()
    assert all(scene.tried(HERE, good=True) for _ in range(10_000))


def test_a_failing_job_behind_the_address_of_others() -> None:
    """Ten failures a second for ten minutes: whoever has a good token is let in every time."""
    scene = Scene()
    scene.tried(HERE, good=True)
    for _ in range(6000):
        scene.tried(HERE)
        assert scene.tried(HERE, good=True)
        scene.now += 0.1


def test_a_flood_behind_the_address_of_others() -> None:
    """It does not get more than its share looked at, and that is not nothing."""
    scene = Scene()
    scene.tried(HERE, good=True)
    looked = scene.flood([HERE], 10, 2000)
    bursts = module.KNOWN[0] + module.KNOWN_LEFT[0]
    assert 200 <= looked <= bursts + 10 * (module.KNOWN[1] + module.KNOWN_LEFT[1]) + 1


def test_many_addresses_cost_what_a_few_do() -> None:
    """Two hundred share one bucket once each has failed; so do those that never came before."""
    scene = Scene()
    scene.flood([f"10.0.0.{n}" for n in range(200)], 20, 2000)
    assert scene.flood([f"10.0.0.{n}" for n in range(200)], 10, 2000) <= 10 * module.ALL_STRANGERS[1] + 1
    fresh = [f"2001:db8:{n:x}/64" for n in range(20_000)]
    scene.flood(fresh[:10_000], 5, 2000)
    assert scene.flood(fresh[10_000:], 5, 2000) <= 5 * module.ALL_NEWCOMERS[1] + 1


def test_what_was_let_in_before_it_failed_is_paid_for() -> None:
    """Failures are known a while after the door was passed: those that came in at once cost all the same."""
    scene, (burst, rate) = Scene(), module.ALL_NEWCOMERS
    under_way = [scene.attempts.begin(f"10.1.{n >> 8}.{n & 255}") for n in range(3 * int(burst))]
    for attempt in under_way:
        attempt.failed()
    scene.now += (burst - 1) / rate
    assert not scene.tried("10.9.9.9")
    scene.now += 3 / rate
    assert scene.tried("10.9.9.9")


def test_a_flood_shuts_nobody_else_out() -> None:
    """Known networks and newcomers are served in the middle of it."""
    scene = Scene()
    scene.tried(THERE, good=True)
    scene.flood([f"10.0.0.{n}" for n in range(200)], 20, 2000)
    assert not scene.tried("10.0.0.1")
    assert scene.tried(THERE)
    assert scene.tried("192.0.2.9", good=True)


def test_known_for_an_hour() -> None:
    """Then it is a stranger again."""
    scene = Scene()
    scene.tried(HERE, good=True)
    scene.now += module.GOOD
    burst = int(module.STRANGER[0])
    assert [scene.tried(HERE) for _ in range(burst + 1)] == [True] * burst + [False]


def test_attempts_under_way_are_bounded() -> None:
    """Who connects and says nothing has only so many; one that is over makes room, once."""
    scene = Scene()
    begun = [scene.attempts.begin(HERE) for _ in range(module.MAX_PENDING)]
    assert scene.attempts.wait(HERE) > 0.0
    assert scene.attempts.wait(THERE) == 0.0
    begun[0].excused()
    begun[0].failed()
    assert scene.attempts.wait(HERE) == 0.0
    scene.attempts.begin(HERE)
    assert scene.attempts.wait(HERE) > 0.0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that proved something long ago make room for those that just did."""
    monkeypatch.setattr(module, "_MAX_KNOWN", 2)
    scene = Scene()
    for network in (HERE, THERE, "192.0.2.9"):
        scene.tried(network, good=True)
    burst = int(module.STRANGER[0])
    assert [scene.tried(HERE) for _ in range(burst + 1)] == [True] * burst + [False]
    assert len(scene.attempts._proven) == 2


class Asked:
    """An identity that takes one token."""

    def __init__(self) -> None:
        self.times = 0
        self.good = {b"good"}
        self.broken: Refused | None = None

    async def identify(self, proof: Proof) -> Principal:
        self.times += 1
        if self.broken is not None:
            raise self.broken
        if proof.token.reveal() not in self.good:
            raise refused("it is bad")
        return PRINCIPAL


async def kind_of(identity: LimitedIdentity, token: str, source: str) -> RefusalKind | None:
    """How it is refused."""
    try:
        await identity.identify(Proof(Secret(token), "", source, encrypted=True, loopback=False))
    except Refused as error:
        return error.refusal.kind
    return None


async def test_nothing_is_verified_where_too_much_failed() -> None:
    """One connection with token after token is limited as well; refusals that blame nobody don't count."""
    scene, asked = Scene(), Asked()
    identity = LimitedIdentity(asked, scene.attempts)
    burst = int(module.STRANGER[0])
    asked.broken = Refused(refusal(3.0))
    assert {await kind_of(identity, "bad", f"{HERE}:1") for _ in range(burst)} == {RefusalKind.CAPACITY}
    asked.broken, asked.times = None, 0
    assert {await kind_of(identity, "bad", f"{HERE}:1") for _ in range(burst)} == {RefusalKind.IDENTITY}
    assert await kind_of(identity, "good", f"{HERE}:2") is RefusalKind.CAPACITY
    assert asked.times == burst
    assert await kind_of(identity, "good", f"{THERE}:2") is None


async def test_a_token_that_was_good_is_always_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who works goes on beside who fails; once it is good no more it is a failure like any other."""
    monkeypatch.setattr(limited, "_MAX_GOOD", 1)
    scene, asked = Scene(), Asked()
    identity = LimitedIdentity(asked, scene.attempts)
    assert await kind_of(identity, "good", f"{HERE}:1") is None
    while await kind_of(identity, "bad", f"{HERE}:1") is RefusalKind.IDENTITY:
        assert asked.times < 1000
    assert await kind_of(identity, "good", f"{HERE}:1") is None
    asked.good = {b"other"}
    assert await kind_of(identity, "good", f"{HERE}:1") is RefusalKind.IDENTITY
    assert await kind_of(identity, "good", f"{HERE}:1") is RefusalKind.CAPACITY
    asked.good = {b"good", b"other"}
    assert [await kind_of(identity, each, f"{THERE}:1") for each in ("good", "other")] == [None, None]
    assert await kind_of(identity, "good", f"{HERE}:1") is RefusalKind.CAPACITY


def test_what_a_client_is_told() -> None:
    """What, how long, and what to look for."""
    told = refusal(1.6)
    assert told.message == "too many logins from this address failed, or are under way"
    assert told.hint == "wait 2 s, and look for the client that fails"
