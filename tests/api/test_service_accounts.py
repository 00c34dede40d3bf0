"""Service accounts as a resource: secrets are told once, changes are conditional, and nobody else may."""

from typing import Any

import pytest
from httpx2 import Response

from tests.api.kit import Api

NEW: dict[str, Any] = {"name": "billing", "owner": "team/billing", "groups": ["app"], "targets": ["orders"]}
MERGE = "application/merge-patch+json"


async def make(api: Api, **more: Any) -> dict[str, Any]:
    """An account that was made."""
    response = await api.post("/service-accounts", NEW | more, "t-admin")
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


async def patch(api: Api, body: bytes, token: str = "t-admin", name: str = "billing", **headers: str) -> Response:
    """A change."""
    return await api.send("PATCH", f"/service-accounts/{name}", token, body, Content_Type=MERGE, **headers)


async def test_a_secret_is_told_once(api: Api) -> None:
    """In the answer that made it; not in a repeated one, a read, or the audit log."""
    body = NEW | {"networks": ["10.0.0.0/8"], "expires": "2099-01-01T00:00:00Z"}
    made = await api.post("/service-accounts", body, "t-admin", Idempotency_Key="k")
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    secret = made.json()["secret"]
    assert secret.startswith(f"osa_{made.json()['key_id']}_")
    again = await api.post("/service-accounts", body, "t-admin", Idempotency_Key="k")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert again.json() == made.json() | {"secret": None}
    taken = await api.post("/service-accounts", body, "t-admin")
    assert (taken.status_code, taken.json()["detail"]) == (409, 'there is a service account "billing" already')
    shown = await api.get("/service-accounts/billing", "t-admin")
    assert shown.json() == made.json()["account"]
    assert shown.json()["expires"] == "2099-01-01T00:00:00Z"
    assert [each["name"] for each in (await api.get("/service-accounts", "t-admin")).json()["items"]] == ["billing"]
    key = (await api.store.accounts.all())[0].keys[0]
    for text in (taken.text, shown.text, (await api.get("/audit/changes")).text):
        assert secret[21:] not in text
        assert key.material not in text


async def test_keys_are_added_rotated_and_removed(api: Api) -> None:
    """A key sent twice under one Idempotency-Key is made once."""
    await make(api)
    first = await api.post("/service-accounts/billing/keys", {}, "t-admin", Idempotency_Key="k")
    again = await api.post("/service-accounts/billing/keys", {}, "t-admin", Idempotency_Key="k")
    assert (first.status_code, again.json()["secret"], again.json()["key_id"]) == (201, None, first.json()["key_id"])
    turned = await api.post("/service-accounts/billing/rotate", {"overlap": 60}, "t-admin")
    keys = turned.json()["account"]["keys"]
    assert [each["expires"] is None for each in keys] == [False, False, True]
    gone = await api.send("DELETE", f"/service-accounts/billing/keys/{first.json()['key_id']}", "t-admin")
    assert [each["key_id"] for each in gone.json()["keys"]] == [keys[0]["key_id"], keys[2]["key_id"]]
    missing = await api.send("DELETE", f"/service-accounts/billing/keys/{first.json()['key_id']}", "t-admin")
    assert missing.status_code == 404
    wrong = await api.post("/service-accounts/billing/keys", {"public_key": "no key"}, "t-admin")
    assert wrong.status_code == 422
    for _ in range(6):
        await api.post("/service-accounts/billing/keys", {}, "t-admin")
    full = await api.post("/service-accounts/billing/keys", {}, "t-admin")
    assert (full.status_code, full.json()["type"]) == (409, "urn:ostiary:problem:conflict")


async def test_a_patch_changes_what_it_names(api: Api) -> None:
    """Null takes away, a condition is kept, and the audit log has before and after."""
    await make(api, networks=["10.0.0.0/8"])
    seen = await api.get("/service-accounts/billing", "t-admin")
    body = (
        b'{"groups": ["app", "b"], "networks": null, "owner": "dana", "disabled": true, "expires": "2099-01-01T00:00Z"}'
    )
    done = (await patch(api, body, If_Match=seen.headers["ETag"])).json()
    assert (done["groups"], done["networks"], done["owner"], done["targets"]) == (["app", "b"], [], "dana", ["orders"])
    assert done["disabled"] is not None
    assert done["revision"] == 1
    stale = await patch(api, b'{"owner": "eve"}', If_Match=seen.headers["ETag"])
    assert (stale.status_code, stale.json()["type"]) == (412, "urn:ostiary:problem:changed")
    same = await patch(api, b'{"disabled": true, "owner": "dana"}')
    assert same.json() == done
    back = (await patch(api, b'{"disabled": false, "expires": null}')).json()
    assert (back["disabled"], back["expires"]) == (None, None)
    log = (await api.get("/audit/changes")).json()["items"]
    assert [each["reason"] for each in log] == ["edit", "edit", "edit", "edit", "create", "create"]
    assert (log[2]["before"]["owner"], log[2]["after"]["owner"]) == ("team/billing", "dana")


@pytest.mark.parametrize(
    "body",
    [
        b'{"owner": null}',
        b'{"owner": ""}',
        b'{"owner": "a\\u0007"}',
        b'{"name": "other"}',
        b'{"targets": ["nowhere"]}',
        b'{"networks": ["everywhere"]}',
        b'{"groups": [" x"]}',
        b'{"expires": "1999-01-01T00:00:00Z"}',
        b'{"expires": "2099-01-01T00:00:00"}',
        b"[]",
    ],
)
async def test_what_no_account_may_be(api: Api, body: bytes) -> None:
    """A sentence, and it stays as it was."""
    before = (await make(api))["account"]
    assert (await patch(api, body)).status_code == 422
    assert (await api.get("/service-accounts/billing", "t-admin")).json() == before


async def test_nobody_else_may(api: Api) -> None:
    """`view` on the gateway to see them, `administer` on it to change them."""
    made = await make(api)
    assert (await api.get("/service-accounts", "t-ops")).status_code == 200
    key = f"/service-accounts/billing/keys/{made['key_id']}"
    for token in ("t-ops", "t-eve"):
        assert (await api.post("/service-accounts", NEW, token)).status_code == 403
        assert (await patch(api, b'{"groups": ["admins"]}', token)).status_code == 403
        assert (await api.post("/service-accounts/billing/keys", {}, token)).status_code == 403
        assert (await api.post("/service-accounts/billing/rotate", {}, token)).status_code == 403
        assert (await api.send("DELETE", key, token)).status_code == 403
    assert (await api.get("/service-accounts/billing", "t-eve")).status_code == 403
    assert (await patch(api, b"{}", name="nobody")).status_code == 404
