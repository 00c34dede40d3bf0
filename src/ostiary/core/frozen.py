"""`frozen`: a dataclass that the type checker keeps anybody from changing, at the price of a plain one.

`@dataclass(frozen=True)` sets every field through `object.__setattr__`: twice the time to make one. Events, effects and
records are made several times a command; strict typing holds what the run-time check would.
"""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Slots, equality by value, no run-time guard against assignment; unhashable, as what may hold lists should be."""
    return dataclass(slots=True)(cls)
