"""A token is renewed before it ends, once for all who ask."""

import asyncio
from dataclasses import dataclass

import pytest

from ostiary.client.fresh import FreshToken
from ostiary.client.sources import NoIdentity
from ostiary.client.token import Token
from ostiary.core import Secret


@dataclass
class Issuer:
    """Makes tokens that last for `lifetime` seconds; None tells no end."""

    lifetime: float | None
    now: float = 0.0
    made: int = 0
    down: bool = False

    async def find(self) -> Token:
        """A new one."""
        await asyncio.sleep(0)
        if self.down:
            raise NoIdentity("the issuer is down", "wait")
        self.made += 1
        ends = None if self.lifetime is None else self.now + self.lifetime
        return Token(Secret(f"token {self.made}"), "test", expires_at=ends)


@pytest.mark.parametrize(("lifetime", "renewed"), [(5.0, 2.5), (100.0, 50.0), (3600.0, 3540.0)])
async def test_renewed_while_the_last_one_still_serves(lifetime: float, renewed: float) -> None:
    """In the middle of its life, or a minute before it ends."""
    issuer = Issuer(lifetime)
    fresh = FreshToken(issuer.find, lambda: issuer.now)
    await fresh.get()
    issuer.now = renewed - 0.1
    await fresh.get()
    assert issuer.made == 1
    issuer.now = renewed
    assert (await fresh.get()).secret == Secret("token 2")


async def test_one_search_serves_all_who_wait() -> None:
    """A hundred connections at once are one request for a token."""
    issuer = Issuer(60.0)
    fresh = FreshToken(issuer.find, lambda: issuer.now)
    await asyncio.gather(*(fresh.get() for _ in range(100)))
    assert issuer.made == 1


async def test_an_issuer_that_is_down_is_noticed_when_the_token_has_ended() -> None:
    """The last token serves to its end, and not a moment longer."""
    issuer = Issuer(10.0)
    fresh = FreshToken(issuer.find, lambda: issuer.now)
    await fresh.get()
    issuer.down = True
    issuer.now = 9.9
    assert (await fresh.get()).secret == Secret("token 1")
    issuer.now = 10.0
    with pytest.raises(NoIdentity):
        await fresh.get()


async def test_a_token_whose_end_can_not_be_told_is_looked_up_each_time() -> None:
    """A secret in a file may have been replaced."""
    issuer = Issuer(None)
    fresh = FreshToken(issuer.find, lambda: issuer.now)
    await fresh.get()
    await fresh.get()
    assert issuer.made == 2
