"""Who may: a token says who, policy says what, and every no is a problem with its reason (RFC 9457)."""

import asyncio

import pytest

from ostiary.core import Proof
from tests.api.kit import Api

READS = ("/targets", "/issuers", "/policies", "/classifications", "/sessions", "/approvals", "/health", "/version")


@pytest.mark.parametrize("path", [*READS, "/targets/orders", "/sessions/a", "/approvals/7K2P7K2P", "/policies/works"])
async def test_nothing_without_a_token(api: Api, path: str) -> None:
    """Neither without one, nor with one that is not believed; the client learns how to send one."""
    for token in (None, "t-nobody", "é"):
        answer = await api.send("GET", path, None, **({} if token is None else {"Authorization": f"Bearer {token}"}))
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 401
        assert "t-nobody" not in answer.text


async def test_only_one_token(api: Api) -> None:
    """Of two headers none is believed; another scheme is no token."""
    assert (await api.get("/version", "t-eve")).status_code == 200
    assert (await api.send("GET", "/version", None, Authorization="Basic dC1ldmU6")).status_code == 401
    assert (await api.send("GET", "/version?access_token=t-eve", None)).status_code == 401


async def test_the_proof_says_how_it_came(api: Api) -> None:
    """As for a session: identity decides whether that is good enough."""
    await api.get("/version", "t-eve", X_Forwarded_For="8.8.8.8", X_Forwarded_Proto="http")
    (proof,) = api.people.proofs
    assert (proof.source, proof.encrypted, proof.loopback, proof.target) == ("127.0.0.1:4711", True, True, "")
    assert isinstance(proof, Proof)


async def test_a_permit_must_name_the_action(api: Api) -> None:
    """Whoever may do everything on a target may do nothing with the gateway itself."""
    answer = await api.get("/targets/orders", "t-eve")
    assert answer.status_code == 403
    assert answer.json()["detail"] == ('denied: no policy permits view on orders: a permit of "view" must name it')
    for path in READS[:4]:
        found = await api.get(path, "t-eve")
        assert found.status_code == 403 or found.json()["items"] == []


async def test_a_denial_names_the_rule(api: Api) -> None:
    """In the sentence and by itself."""
    api.live.names["a"] = "orders"
    answer = await api.post("/sessions/a/kill", {"reason": "x"}, "t-mallory")
    assert answer.status_code == 403
    assert answer.json()["rules"] == ["no-admins-named-mallory"]
    assert answer.json()["detail"] == 'denied by policy "no-admins-named-mallory": administer on orders'
    assert api.live.names == {"a": "orders"}


async def test_what_is_seen_is_what_may_be_viewed(api: Api) -> None:
    """Lists leave out the rest; `Gateway` holds every target."""
    (api.desk.home / "policies" / "more.cedar").write_text(
        'permit (principal == Human::"ci:eve", action == Action::"view", resource == Target::"stock");'
    )
    api.policy.reload()
    assert [t["name"] for t in (await api.get("/targets", "t-eve")).json()["items"]] == ["stock"]
    assert [t["name"] for t in (await api.get("/targets", "t-ops")).json()["items"]] == ["orders", "stock"]
    assert [c["target"] for c in (await api.get("/classifications", "t-eve")).json()["items"]] == ["stock"]
    assert (await api.get("/targets/stock", "t-eve")).json()["labels"] == {"environment": "production"}
    assert (await api.get("/targets/orders", "t-eve")).status_code == 403
    assert (await api.get("/targets/nix", "t-ops")).status_code == 404
    assert (await api.get("/targets/nix", "t-eve")).status_code == 403


async def test_policy_is_followed_at_once(api: Api) -> None:
    """A rule that is gone permits nothing."""
    assert (await api.get("/issuers", "t-ops")).status_code == 200
    (api.desk.home / "policies" / "all.cedar").write_text("permit (principal, action, resource);")
    api.policy.reload()
    assert (await api.get("/issuers", "t-ops")).status_code == 403


async def test_recordings_take_audit(api: Api) -> None:
    """That a session was there takes `view`, what happened in it takes `audit`, each on its target."""
    api.live.names["5f2c0001"] = "orders"
    await asyncio.to_thread(api.desk.record, "5f2c0001", "orders")
    assert [s["session_id"] for s in (await api.get("/sessions", "t-ops")).json()["items"]] == ["5f2c0001"]
    for path in ("/sessions/5f2c0001", "/sessions/5f2c0001/replay"):
        assert (await api.get(path, "t-ops")).status_code == 403
        assert (await api.get(path, "t-audit")).status_code == 200
    assert (await api.post("/audit/verify", None, "t-ops")).status_code == 403
    assert (await api.get("/sessions", "t-eve")).json()["items"] == []
    shown = (await api.get("/sessions/5f2c0001", "t-audit")).json()
    assert (shown["live"], shown["target"], shown["lease"]["kind"]) == (True, "orders", "orders")
    assert (await api.get("/sessions/5f2c", "t-audit")).status_code == 404


async def test_health_needs_no_token(api: Api) -> None:
    """Whether it lives and is ready; nothing else."""
    assert (await api.get("/healthz", None)).json() == {"status": "ok"}
    assert (await api.get("/readyz", None)).json() == {"status": "ok"}
    assert (await api.get("/api/v1/openapi.json", None)).status_code == 200
