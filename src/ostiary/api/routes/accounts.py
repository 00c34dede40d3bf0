"""Service accounts: list, show, create, change, and their keys."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Body, Path, Response

from ostiary.api import paging
from ostiary.api.caller import CallerDep, Control
from ostiary.api.conditions import SeenDep, tag
from ostiary.api.idempotency import Once, OnceDep
from ostiary.api.models.accounts import (
    AccountGiven,
    AccountOut,
    AccountPatch,
    KeyGiven,
    KeyMadeOut,
    Rotation,
    seconds,
)
from ostiary.api.paging import Cursor, Limit, PageOut
from ostiary.api.problems import Unfit, responses
from ostiary.control import AccountConflict, NewKey
from ostiary.control.declarations import Seen

router = APIRouter(tags=["service-accounts"])
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", examples=["billing"])]
KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", examples=["5f2c0a1b9d3e4f60"])]
Patch = Annotated[AccountPatch, Body(media_type="application/merge-patch+json")]
_FOUND: Final = responses(404)
_KEYS: Final = responses(404, 409)


@router.get("/service-accounts")
async def list_service_accounts(
    caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50
) -> PageOut[AccountOut]:
    """By name; takes `view` on the gateway."""
    found = await control.accounts.list(caller, paging.begin(cursor, "service-accounts"), limit)
    return paging.page(found, [AccountOut.of(each) for each in found.items], "service-accounts")


@router.get("/service-accounts/{name}", responses=_FOUND)
async def show_service_account(name: Name, caller: CallerDep, control: Control, response: Response) -> AccountOut:
    """One account and its keys; takes `view` on the gateway."""
    body = AccountOut.of(await control.accounts.show(caller, name))
    tag(response, body.revision, body)
    return body


@router.post("/service-accounts", status_code=201, responses=responses(409))
async def create_service_account(given: AccountGiven, caller: CallerDep, control: Control, once: OnceDep) -> KeyMadeOut:
    """An account and its first key; takes `administer` on the gateway. The secret is in this answer only."""

    async def make() -> NewKey:
        return await control.accounts.create(
            caller,
            given.name,
            given.owner,
            groups=given.groups,
            targets=given.targets,
            networks=given.networks,
            expires_at=seconds(given.expires),
            public_key=_bytes(given.public_key),
        )

    return await _made(once, make)


@router.patch("/service-accounts/{name}", responses=responses(404, 412))
async def patch_service_account(
    name: Name, patch: Patch, caller: CallerDep, control: Control, seen: SeenDep
) -> AccountOut:
    """Change some of it; takes `administer` on the gateway. Sessions that it may no more end within 5 s."""
    try:
        after = await control.accounts.edit(
            caller, name, patch.wanted(), disabled=patch.disabled, revisions=_revisions(seen)
        )
    except ValueError as error:
        raise Unfit(422, "invalid", str(error)) from None
    return AccountOut.of(after)


@router.post("/service-accounts/{name}/keys", status_code=201, responses=_KEYS)
async def add_service_account_key(
    name: Name, given: KeyGiven, caller: CallerDep, control: Control, once: OnceDep
) -> KeyMadeOut:
    """One more key; takes `administer` on the gateway. The secret is in this answer only."""

    async def make() -> NewKey:
        return await control.accounts.add_key(caller, name, _bytes(given.public_key), seconds(given.expires))

    return await _made(once, make)


@router.post("/service-accounts/{name}/rotate", status_code=201, responses=_KEYS)
async def rotate_service_account(
    name: Name, given: Rotation, caller: CallerDep, control: Control, once: OnceDep
) -> KeyMadeOut:
    """A new key; the others end after `overlap`. Takes `administer` on the gateway."""

    async def make() -> NewKey:
        expires = seconds(given.expires)
        return await control.accounts.rotate(caller, name, given.overlap, _bytes(given.public_key), expires)

    return await _made(once, make)


@router.delete("/service-accounts/{name}/keys/{key_id}", responses=_FOUND)
async def remove_service_account_key(name: Name, key_id: KeyId, caller: CallerDep, control: Control) -> AccountOut:
    """Take a key away; takes `administer` on the gateway. Sessions that it opened end within 5 s."""
    return AccountOut.of(await control.accounts.remove_key(caller, name, key_id))


async def _made(once: Once, make: Callable[[], Awaitable[NewKey]]) -> KeyMadeOut:
    """Made once. What is kept for an answer that is sent again has no secret."""
    fresh: list[NewKey] = []

    async def work() -> KeyMadeOut:
        try:
            fresh.append(await make())
        except AccountConflict:
            raise
        except ValueError as error:
            raise Unfit(422, "invalid", str(error)) from None
        return KeyMadeOut.of(fresh[0])

    answer = await once(KeyMadeOut, work)
    secret = fresh[0].secret if fresh else None
    return answer.model_copy(update={"secret": None if secret is None else secret.reveal_text()})


def _revisions(seen: Seen) -> frozenset[int] | None:
    return frozenset() if seen.none else seen.revisions


def _bytes(key: str | None) -> bytes | None:
    return None if key is None else key.encode("utf-8", "replace")
