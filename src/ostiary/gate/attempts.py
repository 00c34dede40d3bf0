"""Who may try to log in: limits of what failed, an address at a time and of all together.

Theory of operation. Only failures count, so callers whose tokens are good are as many as they like to be. What is
limited is asked at the door, before a byte is read: a flood costs an `accept`, a look-up and a `close` each.

- A network is an IPv4 address, or a /64 of IPv6.
- **Strangers**, networks that nobody proved anything from within `GOOD`: a bucket each, and one for all of them
  together, so that two hundred addresses cost what one does. Those that never failed have a common bucket of their
  own: a flood from addresses that are known by now does not shut the door to who comes the first time.
- **Known networks** take no part in these: strangers can't shut them out. One with failures of its own (a
  misconfigured job behind the same NAT as others) goes on being served some attempts a second, good ones among them.
- Attempts that are under way are bounded, a network at a time: who connects and says nothing fails late.

Memory is bounded; what is pushed out starts anew. Not for threads.
"""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Final

from ostiary.core import Refusal, RefusalKind
from ostiary.core.limit import Limiter

#: Failures of a network at once, and a second: of a stranger, of a known one.
STRANGER: Final = (20.0, 0.5)
KNOWN: Final = (60.0, 5.0)
#: Attempts that a known network has when it has used those up, and all such networks together.
KNOWN_LEFT: Final = (40.0, 20.0)
ALL_KNOWN_LEFT: Final = (100.0, 40.0)
#: Failures of all strangers together: of networks that failed before, and of those that did not.
ALL_STRANGERS: Final = (50.0, 4.0)
ALL_NEWCOMERS: Final = (200.0, 10.0)
#: Seconds for which a network is known by a proof.
GOOD: Final = 3600.0
#: Attempts under way, of one network.
MAX_PENDING: Final = 512
_MAX_KNOWN: Final = 10_000
_ALL: Final = ""


def network_of(source: str) -> str:
    """Of an address "ip:port"."""
    host = source.rpartition(":")[0]
    if ":" not in host:
        return host
    address = IPv6Address(host.strip("[]").partition("%")[0])
    mapped = address.ipv4_mapped
    return str(mapped) if mapped is not None else f"{int(address) >> 64:x}/64"


def refusal(wait: float) -> Refusal:
    """What a client is told that must wait so many seconds."""
    what = "too many logins from this address failed, or are under way"
    return Refusal(RefusalKind.CAPACITY, what, f"wait {max(1.0, wait):.0f} s, and look for the client that fails")


class Attempts:
    """Of one process. `clock`: seconds, never back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stranger, self._known, self._left = (_limiter(clock, rates) for rates in (STRANGER, KNOWN, KNOWN_LEFT))
        # What fails was let in a moment ago, and many more with it: those are counted, too.
        self._strangers, self._newcomers = (
            Limiter(clock, rate, burst, debt=burst) for burst, rate in (ALL_STRANGERS, ALL_NEWCOMERS)
        )
        self._all_left = _limiter(clock, ALL_KNOWN_LEFT)
        #: Network → when it was proven last, longest ago first.
        self._proven: OrderedDict[str, float] = OrderedDict()
        self._pending: dict[str, int] = {}
        #: Since the process began.
        self.turned_away = 0

    def wait(self, network: str) -> float:
        """Seconds until an attempt is taken; 0.0: this one is."""
        wait = self._wait(network)
        if wait > 0.0:
            self.turned_away += 1
        return wait

    def begin(self, network: str) -> "Attempt":
        """An attempt that `wait` let in."""
        self._pending[network] = self._pending.get(network, 0) + 1
        return Attempt(self, network)

    def over(self, network: str) -> None:
        """An attempt that was begun is over, well or not."""
        left = self._pending.pop(network) - 1
        if left:
            self._pending[network] = left

    def proven(self, network: str) -> None:
        """Somebody showed there who they are."""
        self._proven[network] = self._clock()
        self._proven.move_to_end(network)
        if len(self._proven) > _MAX_KNOWN:
            self._proven.popitem(last=False)

    def failed(self, network: str) -> None:
        """Somebody did not."""
        if self._is_known(network):
            self._known.take(network)
            return
        (self._strangers if network in self._stranger else self._newcomers).take(_ALL)
        self._stranger.take(network)

    def _wait(self, network: str) -> float:
        if self._pending.get(network, 0) >= MAX_PENDING:
            return 1.0
        if not self._is_known(network):
            together = self._strangers if network in self._stranger else self._newcomers
            return self._stranger.wait(network) or together.wait(_ALL)
        if self._known.wait(network) == 0.0:
            return 0.0
        wait = self._left.wait(network) or self._all_left.wait(_ALL)
        if wait == 0.0:
            self._left.take(network)
            self._all_left.take(_ALL)
        return wait

    def _is_known(self, network: str) -> bool:
        proven = self._proven.get(network)
        return proven is not None and self._clock() < proven + GOOD


class Attempt:
    """One of a connection. What is said of it first, counts."""

    def __init__(self, attempts: Attempts, network: str) -> None:
        self._attempts = attempts
        self._network = network
        self._open = True

    def proven(self) -> None:
        """Who connected showed who they are."""
        if self._over():
            self._attempts.proven(self._network)

    def excused(self) -> None:
        """It came to nothing, and who connected is not to blame."""
        self._over()

    def failed(self) -> None:
        """It came to nothing."""
        if self._over():
            self._attempts.failed(self._network)

    def _over(self) -> bool:
        was, self._open = self._open, False
        if was:
            self._attempts.over(self._network)
        return was


def _limiter(clock: Callable[[], float], rates: tuple[float, float]) -> Limiter:
    burst, rate = rates
    return Limiter(clock, rate, burst)
