"""Service accounts, through the API."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ostiary.accounts import AccountKey, ServiceAccount
from ostiary.cli.remote.convert import members, rfc3339, view
from ostiary.client.api import Api, ApiFailed, part
from ostiary.control import NewKey
from ostiary.core import Secret

_LIST = "/service-accounts"


def list_accounts(api: Api) -> list[ServiceAccount]:
    """By name. Raises ApiFailed, as everything here does."""
    return [_account(each) for each in api.pages(_LIST)]


def show(api: Api, name: str) -> ServiceAccount:
    """One of them."""
    return _account(api.get(f"{_LIST}/{part(name)}"))


def create(api: Api, account: Mapping[str, Any], expires_at: float | None, public_key: bytes | None) -> NewKey:
    """An account and its first key."""
    return _new_key(api, _LIST, {**account, **_key(expires_at, public_key)})


def add_key(api: Api, name: str, public_key: bytes | None, expires_at: float | None) -> NewKey:
    """One more key."""
    return _new_key(api, f"{_LIST}/{part(name)}/keys", _key(expires_at, public_key))


def rotate(api: Api, name: str, overlap: float, public_key: bytes | None, expires_at: float | None) -> NewKey:
    """A key in place of all others, which stay good for so many seconds."""
    return _new_key(api, f"{_LIST}/{part(name)}/rotate", {**_key(expires_at, public_key), "overlap": overlap})


def remove_key(api: Api, name: str, key_id: str) -> ServiceAccount:
    """Without that key."""
    return _account(api.delete(f"{_LIST}/{part(name)}/keys/{part(key_id)}"))


def edit(api: Api, name: str, wanted: Mapping[str, Any]) -> ServiceAccount:
    """Changed in these fields, which are those of an account; `disabled` is true or false."""
    sent = {field: value for field, value in wanted.items() if field != "expires_at"}
    if "expires_at" in wanted:
        sent["expires"] = rfc3339(wanted["expires_at"]) or None
    return _account(api.patch(f"{_LIST}/{part(name)}", sent))


def _key(expires_at: float | None, public_key: bytes | None) -> dict[str, Any]:
    key = None if public_key is None else public_key.decode("utf-8", "replace")
    return {"expires": rfc3339(expires_at) or None, "public_key": key}


def _new_key(api: Api, path: str, body: Mapping[str, Any]) -> NewKey:
    found = api.post(path, body, key=secrets.token_hex(16))
    account = _account(found.get("account"))
    key = next((key for key in account.keys if key.key_id == found.get("key_id")), None)
    if key is None:
        raise ApiFailed("the API's answer has no key", "is the gateway of this version?")
    secret = found.get("secret")
    return NewKey(account, key, Secret(secret) if isinstance(secret, str) else None)


def _account(found: object) -> ServiceAccount:
    plain = view(dict[str, Any], found)
    moments = ("created_at", "expires_at", "disabled_at")
    account = view(ServiceAccount, {**plain, **_renamed(plain), "keys": []}, moments)
    keys = tuple(
        view(
            AccountKey,
            {**each, **_renamed(each)},
            ("created_at", "expires_at", "last_used_at"),
            account=account.name,
            material="",
        )
        for each in members(plain, "keys")
    )
    return replace(account, keys=keys)


def _renamed(found: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}_at": found.get(name) for name in ("created", "expires", "disabled", "last_used")}
