"""What signing in needs of a store. Every method raises when the store can't answer; nobody is let in then."""

from typing import Protocol

from ostiary.signin.people import Code, DeviceRequest, LocalAdmin, Login, Passkey, Who


class PeopleRepository(Protocol):
    """Logins, codes, devices and the local administrator. Each change is one transaction."""

    async def add_login(self, login: Login, most: int) -> bool:
        """Store a new login; False when there are `most` of this person. Those that have ended are forgotten."""
        ...

    async def login(self, handle: str) -> Login | None:
        """The login of this digest."""
        ...

    async def seen(self, login_id: str, now: float) -> None:
        """A browser used it."""
        ...

    async def rotate(self, login_id: str, before: str, after: str) -> bool:
        """Put another digest of a refresh secret in this one's place; of all who try, one gets True."""
        ...

    async def end_login(self, login_id: str) -> bool:
        """Forget it; False when it was forgotten."""
        ...

    async def end_all(self, issuer: str, subject: str) -> list[Login]:
        """Forget all of one person, and what could become one: codes, confirmed devices. Returns the logins."""
        ...

    async def add_code(self, code: Code, most: int, now: float) -> bool:
        """Store it; False when there are `most`. Old ones are forgotten."""
        ...

    async def use_code(self, digest: str, login_id: str) -> tuple[Code, bool] | None:
        """The code, and whether it was used now, for the first time. None: there is none."""
        ...

    async def add_device(self, request: DeviceRequest, most: int) -> bool:
        """Store it; False when there are `most`, or its user code is taken. Old ones are forgotten."""
        ...

    async def device(self, user_code: str) -> DeviceRequest | None:
        """The request of this user code, in any state."""
        ...

    async def decide_device(self, user_code: str, who: Who | None) -> bool:
        """Confirm it for this person, or deny it; False when somebody did already."""
        ...

    async def poll_device(self, digest: str, now: float, slower: float) -> DeviceRequest | None:
        """As it was before this poll. One that came too early makes the interval `slower` seconds longer."""
        ...

    async def take_device(self, digest: str) -> bool:
        """Forget it; of all who do, one gets True."""
        ...

    async def admin(self, name: str) -> LocalAdmin | None:
        """The local administrator."""
        ...

    async def offer_link(self, name: str, link: str, until: float) -> None:
        """The digest of a one-time link, in place of an earlier one; the administrator is made where there is none."""
        ...

    async def set_up(self, name: str, link: str, now: float, password: str, passkeys: tuple[Passkey, ...]) -> bool:
        """Use a link: what is given here replaces all there was. Of all who use it, one gets True."""
        ...

    async def count_passkey(self, name: str, before: tuple[Passkey, ...], after: tuple[Passkey, ...]) -> bool:
        """Put the passkeys with a new counter in place of those with the old one; False when they changed."""
        ...
