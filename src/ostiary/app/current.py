"""What is in force now, behind one name each: whoever was handed it sees what replaces it, all of it at once."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from ostiary.accounts import LOCAL_ISSUER
from ostiary.app.observing import issuer_named
from ostiary.core import Principal, Proof, Target
from ostiary.identity import AnyIssuer, Identities
from ostiary.identity.keys import IssuerKeys

T = TypeVar("T")


class Current(Mapping[str, T]):
    """A mapping that is replaced as a whole, also while other threads read it."""

    def __init__(self, now: Mapping[str, T]) -> None:
        self._now = now

    def replace(self, now: Mapping[str, T]) -> None:
        """From here on it is this one."""
        self._now = now

    def __getitem__(self, name: str) -> T:
        return self._now[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)


class Targets(Current[Target]):
    """Declared targets by name. Implements `gate.ports.Registry`."""

    def __init__(self, targets: tuple[Target, ...]) -> None:
        super().__init__({target.name: target for target in targets})
        #: See `gate.ports.Registry`.
        self.version = 1

    def target(self, name: str) -> Target | None:
        """The declared target, or None."""
        return self.get(name)


class CurrentIdentity:
    """Identities of the issuers in force. Implements `gate.ports.Identity`."""

    def __init__(self, now: Identities, issuers: Sequence[AnyIssuer], people: Sequence[AnyIssuer]) -> None:
        self.adopt(now, issuers, people)

    def adopt(self, now: Identities, issuers: Sequence[AnyIssuer], people: Sequence[AnyIssuer]) -> None:
        """From here on it is these. `people`: issuers as people sign in at them."""
        self.now = now
        self._named = issuer_named(issuers)
        self._standing = {LOCAL_ISSUER: LOCAL_ISSUER} | _standing((*issuers, *people))

    def standing(self, name: str) -> str:
        """See `accounts.issued.Tokens`. The same in every process, and after a restart."""
        return self._standing.get(name, "")

    def named(self, proof: Proof) -> str:
        """See `observing.issuer_named`."""
        return self._named(proof)

    def keys(self) -> Mapping[str, IssuerKeys]:
        """As of `Identities`."""
        return self.now.keys()

    async def identify(self, proof: Proof) -> Principal:
        """See `gate.ports.Identity`."""
        return await self.now.identify(proof)


def _standing(issuers: Iterable[AnyIssuer]) -> dict[str, str]:
    """Name → digest of all that is configured of it."""
    found: dict[str, str] = {}
    for issuer in issuers:
        told = [f"{each.name}={_plain(getattr(issuer, each.name))}" for each in fields(issuer)]
        text = "\n".join([found.get(issuer.name, ""), type(issuer).__name__, *told])
        found[issuer.name] = hashlib.sha256(text.encode()).hexdigest()[:32]
    return found


def _plain(value: object) -> str:
    """A text without addresses in memory, an order of chance, or where this host keeps its files."""
    if isinstance(value, Path):
        return value.name
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__name__))
    return repr(sorted(value, key=repr) if isinstance(value, frozenset) else value)
