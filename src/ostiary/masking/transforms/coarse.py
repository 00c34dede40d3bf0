"""`generalise` and `date-shift`: values that stay of their kind and say less."""

import math
from collections.abc import Callable
from decimal import ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from typing import Any

from ostiary.core import Datum
from ostiary.core.calendar import date_of, days_of
from ostiary.masking.model import ClassRule, Precision

_DAY = 86_400_000_000
#: Enough for every number that has a codec.
_EXACT = Context(prec=3000)
_IPV4, _IPV6 = 24, 48
_INFINITE = (math.inf, -math.inf)


def shifted(days: int, datum: Datum) -> Callable[[Any], Any] | None:
    """A date or timestamp, `days` later. Whether the target's type can hold it shows when it is encoded."""
    match datum:
        case Datum.DATE:
            return lambda value: value + days
        case Datum.TIMESTAMP:
            return lambda value: value + days * _DAY
        case _:
            return None


def generalised(rule: ClassRule, datum: Datum) -> Callable[[Any], Any] | None:
    """None where the rule does not say how far."""
    match datum:
        case Datum.DATE:
            return lambda value: _floor(value, 1, rule.to)
        case Datum.TIMESTAMP:
            return lambda value: _floor(value, _DAY, rule.to)
        case Datum.ADDRESS:
            return _network
        case Datum.TEXT if rule.first is not None:
            first = rule.first
            return lambda value: f"{value[:first]}***" if len(value) > first else "***"
        case Datum.INTEGER if rule.step is not None:
            step = rule.step
            return lambda value: value - value % step
        case Datum.DECIMAL if rule.step is not None:
            exact = Decimal(rule.step)
            return lambda value: _EXACT.multiply(
                _EXACT.divide(value, exact).to_integral_value(ROUND_FLOOR, _EXACT), exact
            )
        case Datum.FLOAT if rule.step is not None:
            size = float(rule.step)
            return lambda value: math.floor(value / size) * size
        case _:
            return None


def _floor(value: Any, unit: int, to: Precision) -> Any:
    """The beginning of a moment's month, year or decade; `unit`: how many of it make a day."""
    return value if value in _INFINITE else _first_day(value // unit, to) * unit


@lru_cache(maxsize=8192)
def _first_day(days: int, to: Precision) -> int:
    year, month, _ = date_of(days)
    match to:
        case Precision.MONTH:
            return days_of(year, month, 1)
        case Precision.YEAR:
            return days_of(year, 1, 1)
        case Precision.DECADE:
            return days_of(year - year % 10, 1, 1)


def _network(value: tuple[bytes, int]) -> tuple[bytes, int]:
    """The address's /24 or /48, or its own network where that is larger."""
    packed, prefix = value
    size = len(packed)
    prefix = min(prefix, _IPV4 if size == 4 else _IPV6)
    host = 8 * size - prefix
    return (int.from_bytes(packed, "big") >> host << host).to_bytes(size, "big"), prefix
