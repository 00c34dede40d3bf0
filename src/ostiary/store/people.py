"""People's logins in the state store."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import msgspec
from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

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
from ostiary.store.approvals import Transactions
from ostiary.store.tables import device_requests, local_admins, login_codes, logins

#: Seconds that a code is remembered after its end, so that its second use is seen.
_REMEMBERED: Final = 3600.0


class SqlPeople:
    """A `PeopleRepository`; every method raises StoreError when the store fails."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    async def add_login(self, login: Login, most: int) -> bool:
        """See PeopleRepository."""
        row = _flat(login)
        mine = and_(logins.c.issuer == login.who.issuer, logins.c.subject == login.who.subject)
        idle = and_(logins.c.client == BROWSER, logins.c.seen_at <= login.created_at - IDLE_SECONDS)
        async with self._store.write() as connection:
            await connection.execute(delete(logins).where(or_(logins.c.expires_at <= login.created_at, idle)))
            if (await connection.execute(select(func.count()).where(mine))).scalar_one() >= most:
                return False
            await connection.execute(insert(logins).values(row))
        return True

    async def login(self, handle: str) -> Login | None:
        """See PeopleRepository."""
        async with self._store.read() as connection:
            found = await connection.execute(select(logins).where(logins.c.handle == handle))
            row = found.mappings().one_or_none()
        return None if row is None else _login(row)

    async def seen(self, login_id: str, now: float) -> None:
        """See PeopleRepository."""
        async with self._store.write() as connection:
            await connection.execute(update(logins).where(logins.c.login_id == login_id).values(seen_at=now))

    async def rotate(self, login_id: str, before: str, after: str) -> bool:
        """See PeopleRepository."""
        this = and_(logins.c.login_id == login_id, logins.c.secret == before)
        async with self._store.write() as connection:
            return bool((await connection.execute(update(logins).where(this).values(secret=after))).rowcount)

    async def end_login(self, login_id: str) -> bool:
        """See PeopleRepository."""
        async with self._store.write() as connection:
            return bool((await connection.execute(delete(logins).where(logins.c.login_id == login_id))).rowcount)

    async def end_all(self, issuer: str, subject: str) -> list[Login]:
        """See PeopleRepository."""
        mine = and_(logins.c.issuer == issuer, logins.c.subject == subject)
        async with self._store.write() as connection:
            found = [_login(row) for row in (await connection.execute(select(logins).where(mine))).mappings()]
            await connection.execute(delete(logins).where(mine))
            for table in (login_codes, device_requests):
                rows = (await connection.execute(select(table.c.digest, table.c.who))).all()
                theirs = [each.digest for each in rows if each.who and _is(each.who, issuer, subject)]
                for digest in theirs:
                    await connection.execute(delete(table).where(table.c.digest == digest))
        return found

    async def add_code(self, code: Code, most: int, now: float) -> bool:
        """See PeopleRepository."""
        async with self._store.write() as connection:
            await connection.execute(delete(login_codes).where(login_codes.c.expires_at < now - _REMEMBERED))
            if (await connection.execute(select(func.count()).select_from(login_codes))).scalar_one() >= most:
                return False
            await connection.execute(insert(login_codes).values(msgspec.to_builtins(code)))
        return True

    async def use_code(self, digest: str, login_id: str) -> tuple[Code, bool] | None:
        """See PeopleRepository."""
        this = login_codes.c.digest == digest
        async with self._store.write() as connection:
            unused = update(login_codes).where(this, login_codes.c.login_id == "").values(login_id=login_id)
            first = bool((await connection.execute(unused)).rowcount)
            row = (await connection.execute(select(login_codes).where(this))).mappings().one_or_none()
        return None if row is None else (msgspec.convert(_plain(row), Code), first)

    async def add_device(self, request: DeviceRequest, most: int) -> bool:
        """See PeopleRepository."""
        async with self._store.write() as connection:
            await connection.execute(delete(device_requests).where(device_requests.c.expires_at <= request.created_at))
            if (await connection.execute(select(func.count()).select_from(device_requests))).scalar_one() >= most:
                return False
            try:
                async with connection.begin_nested():
                    await connection.execute(insert(device_requests).values(msgspec.to_builtins(request)))
            except IntegrityError:
                return False
        return True

    async def device(self, user_code: str) -> DeviceRequest | None:
        """See PeopleRepository."""
        async with self._store.read() as connection:
            found = await connection.execute(select(device_requests).where(device_requests.c.user_code == user_code))
            row = found.mappings().one_or_none()
        return None if row is None else msgspec.convert(_plain(row), DeviceRequest)

    async def decide_device(self, user_code: str, who: Who | None) -> bool:
        """See PeopleRepository."""
        state = DeviceState.DENIED if who is None else DeviceState.CONFIRMED
        values = {"state": state.value, "who": msgspec.to_builtins(who)}
        this = and_(device_requests.c.user_code == user_code, device_requests.c.state == DeviceState.PENDING.value)
        async with self._store.write() as connection:
            return bool((await connection.execute(update(device_requests).where(this).values(values))).rowcount)

    async def poll_device(self, digest: str, now: float, slower: float) -> DeviceRequest | None:
        """See PeopleRepository."""
        this = device_requests.c.digest == digest
        async with self._store.write() as connection:
            row = (await connection.execute(select(device_requests).where(this).with_for_update())).mappings().first()
            if row is None:
                return None
            before = msgspec.convert(_plain(row), DeviceRequest)
            more = slower if now < before.polled_at + before.interval else 0.0
            values = {"polled_at": now, "interval": before.interval + more}
            await connection.execute(update(device_requests).where(this).values(values))
        return before

    async def take_device(self, digest: str) -> bool:
        """See PeopleRepository."""
        async with self._store.write() as connection:
            gone = await connection.execute(delete(device_requests).where(device_requests.c.digest == digest))
            return bool(gone.rowcount)

    async def admin(self, name: str) -> LocalAdmin | None:
        """See PeopleRepository."""
        async with self._store.read() as connection:
            found = await connection.execute(select(local_admins).where(local_admins.c.name == name))
            row = found.mappings().one_or_none()
        return None if row is None else msgspec.convert(_plain(row), LocalAdmin)

    async def offer_link(self, name: str, link: str, until: float) -> None:
        """See PeopleRepository."""
        values = {"link": link, "link_until": until}
        async with self._store.write() as connection:
            change = update(local_admins).where(local_admins.c.name == name).values(values)
            if not (await connection.execute(change)).rowcount:
                await connection.execute(insert(local_admins).values(msgspec.to_builtins(LocalAdmin(name)) | values))

    async def set_up(self, name: str, link: str, now: float, password: str, passkeys: tuple[Passkey, ...]) -> bool:
        """See PeopleRepository."""
        good = and_(local_admins.c.name == name, local_admins.c.link == link, local_admins.c.link_until > now)
        values = {"password": password, "passkeys": msgspec.to_builtins(passkeys), "link": "", "link_until": 0.0}
        async with self._store.write() as connection:
            return bool((await connection.execute(update(local_admins).where(good).values(values))).rowcount)

    async def count_passkey(self, name: str, before: tuple[Passkey, ...], after: tuple[Passkey, ...]) -> bool:
        """See PeopleRepository."""
        this = local_admins.c.name == name
        async with self._store.write() as connection:
            row = (await connection.execute(select(local_admins).where(this).with_for_update())).mappings().first()
            if row is None or msgspec.convert(_plain(row), LocalAdmin).passkeys != before:
                return False
            values = {"passkeys": msgspec.to_builtins(after)}
            await connection.execute(update(local_admins).where(this).values(values))
        return True


_WHO: Final = [each.name for each in fields(Who)]


def _flat(login: Login) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(login)
    who: dict[str, Any] = values.pop("who")
    return values | who


def _is(who: Mapping[str, object], issuer: str, subject: str) -> bool:
    return who["issuer"] == issuer and who["subject"] == subject


def _plain(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _login(row: RowMapping) -> Login:
    """Raises msgspec.ValidationError, which the store translates, when a row is not of this shape."""
    values = _plain(row)
    return msgspec.convert(values | {"who": {name: values[name] for name in _WHO}}, Login)
