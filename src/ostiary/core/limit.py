"""How often something may happen: a token bucket a name, in bounded memory."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MOST_NAMES: Final = 10_000


class Limiter:
    """Args: clock: seconds. rate: a second. burst: at once. debt: those counted beyond, which are waited for too."""

    def __init__(self, clock: Callable[[], float], rate: float, burst: float, debt: float = 0.0) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._debt = debt
        #: name → (left, as of), longest untouched first. One that was pushed out starts full again.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        """Was one counted, and not pushed out since?"""
        return name in self._buckets

    def wait(self, name: str) -> float:
        """Seconds until `take` would succeed; 0 when it does now."""
        return max(0.0, (1.0 - self._left(name)) / self._rate)

    def take(self, name: str) -> None:
        """Count one, even where none is left."""
        self._buckets[name] = max(self._left(name) - 1.0, -self._debt), self._clock()
        self._buckets.move_to_end(name)
        if len(self._buckets) > _MOST_NAMES:
            self._buckets.popitem(last=False)

    def _left(self, name: str) -> float:
        left, since = self._buckets.get(name, (self._burst, 0.0))
        return min(self._burst, left + max(0.0, self._clock() - since) * self._rate)
