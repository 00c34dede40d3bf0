"""What holds for every request: media types, sizes, time, conditions, headers, pages."""

import asyncio
import json
from typing import Any

import pytest

from ostiary.api import guard
from ostiary.api.guard import Guard
from tests.api.kit import Api


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("application/*;q=0.1", 200),
        ("text/html, application/json;q=0.5", 200),
        ("text/html", 406),
        ("text/html, */*;q=0", 406),
        ("application/json;q=0.0, */*", 406),
        ("application/jsonx", 406),
    ],
)
async def test_accept(api: Api, accept: str, status: int) -> None:
    """JSON, or nothing."""
    answer = await api.get("/targets", Accept=accept)
    assert answer.status_code == status


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
async def test_other_bodies_than_json(api: Api, kind: str) -> None:
    """Are not looked at: a form of another site can't send JSON without asking first."""
    answer = await api.post("/sessions/a/kill", b'{"reason": "x"}', Content_Type=kind)
    assert answer.status_code == 415
    assert (await api.post("/sessions/a/kill", b"{", Content_Type="application/json")).status_code == 422


async def test_large_bodies(api: Api) -> None:
    """By what is announced, and by what comes."""
    body = json.dumps({"reason": "x" * guard.MAX_BODY}).encode()
    assert (await api.post("/sessions/a/kill", body, Content_Type="application/json")).status_code == 413
    messages = [{"type": "http.request", "body": b"x" * 40_000, "more_body": True}] * 3
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    await api.app({"type": "http", "method": "POST", "path": "/api/v1/x", "headers": headers}, receive, send)
    assert sent[0]["status"] == 413


async def test_what_is_sent_is_not_told_back(api: Api) -> None:
    """A secret in the wrong place does not come back, nor get into a page of errors."""
    answer = await api.post("/sessions/a/kill", {"reason": ["canary"], "canary2": "canary"})
    assert answer.status_code == 422
    assert [error["place"] for error in answer.json()["errors"]] == ["body.reason", "body.canary2"]
    assert '"canary"' not in answer.text


async def test_conditional_reads(api: Api) -> None:
    """The same answer is not sent again; another one is."""
    first = await api.get("/targets")
    assert first.headers["cache-control"] == "private, no-cache"
    for known in (first.headers["etag"], f'"x", W/{first.headers["etag"]}', "*"):
        again = await api.get("/targets", If_None_Match=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert (await api.get("/targets", If_None_Match='"x"')).status_code == 200
    assert (await api.get("/targets", "t-eve", If_None_Match=first.headers["etag"])).status_code == 200


async def test_headers_of_every_response(api: Api) -> None:
    """Also of errors; no other site may read any of it."""
    for path in ("/targets", "/nix", "/readyz"):
        answer = await api.get(path, Origin="https://evil.example")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["strict-transport-security"]
        assert len(answer.headers["x-request-id"]) == 16
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "server" not in answer.headers
    assert (await api.send("OPTIONS", "/targets", Origin="https://evil.example")).status_code == 405


async def test_methods_and_places(api: Api) -> None:
    """That do not exist."""
    wrong = await api.send("DELETE", "/targets")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    for path in ("/nix", "/api/v2/targets", "/api/v1/targets/", "/api/v1/docs"):
        answer = await api.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


async def test_pages(api: Api) -> None:
    """Every item once, in order; a cursor of another list or a made-up one is an error."""
    names: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get(f"/policies?limit=2&cursor={cursor}")).json()
        assert len(page["items"]) <= 2
        names += [rule["name"] for rule in page["items"]]
        cursor = page["next"]
    assert names == sorted(api.policy.rules.rules)
    cursor = (await api.get("/policies?limit=1")).json()["next"]
    for path in (f"/issuers?cursor={cursor}", "/policies?cursor=AAAA", "/policies?cursor=W10", "/policies?limit=0"):
        assert (await api.get(path)).status_code == 422, path


async def test_pages_of_sessions(api: Api) -> None:
    """Newest first, filtered; the cursor holds for its filters only."""
    for number in range(5):
        text = "orders" if number % 2 else "stock"
        await asyncio.to_thread(api.desk.record, f"5f2c000{number}", text)
    api.live.names["5f2c0003"] = "orders"
    first = (await api.get("/sessions?limit=3", "t-audit")).json()
    second = (await api.get(f"/sessions?limit=3&cursor={first['next']}", "t-audit")).json()
    ids = [each["session_id"] for each in first["items"] + second["items"]]
    assert sorted(ids) == [f"5f2c000{number}" for number in range(5)]
    assert second["next"] is None
    assert (await api.get(f"/sessions?limit=3&target=x&cursor={first['next']}", "t-audit")).status_code == 422
    stock = (await api.get("/sessions?target=stock", "t-audit")).json()["items"]
    assert {each["session_id"] for each in stock} == {"5f2c0000", "5f2c0002", "5f2c0004"}
    live = (await api.get("/sessions?live=true", "t-audit")).json()["items"]
    assert [(each["session_id"], each["live"]) for each in live] == [("5f2c0003", True)]
    assert (await api.get("/sessions?since=2100-01-01T00:00:00Z", "t-audit")).json()["items"] == []


async def test_pages_of_a_replay(api: Api) -> None:
    """One moment after the other."""
    await asyncio.to_thread(api.desk.record, "5f2c0001", "orders")
    whole = (await api.get("/sessions/5f2c0001/replay?limit=200")).json()["items"]
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get(f"/sessions/5f2c0001/replay?limit=2&cursor={cursor}")).json()
        found += page["items"]
        cursor = page["next"]
    assert found == whole
    assert [moment["kind"] for moment in whole][:3] == ["started", "lease", "statement"]


async def test_a_misspelt_filter_is_an_error(api: Api) -> None:
    """Else it would be taken for none; of two values neither is."""
    for query in ("targett=orders", "target=orders&target=stock", "limit=1&limit=2"):
        assert (await api.get(f"/sessions?{query}")).status_code == 422, query
    assert (await api.get("/version?x=1")).status_code == 422


async def test_explaining(api: Api) -> None:
    """By the rules in force; one question at a time."""
    asked = {"principal": "ci:job", "groups": ["app"], "target": "orders"}
    held = (await api.post("/policies/explain", {**asked, "sql": "DROP TABLE public.x"})).json()
    assert (held["verdict"], held["rules"], held["approval_groups"]) == ("hold", ["asks"], ["dba"])
    read = {**asked, "operation": "read", "object": "public.x"}
    assert (await api.post("/policies/explain", read)).json()["verdict"] == "allow"
    unfit: list[dict[str, Any]] = [asked, {**read, "sql": "SELECT 1"}, {**asked, "sql": "SELEC"}]
    unfit += [{**read, "principal": "job"}, {**read, "kind": "x"}, {**read, "rows": -1}]
    for question in unfit:
        assert (await api.post("/policies/explain", question)).status_code == 422, question
    assert (await api.post("/policies/explain", {**read, "target": "nix"})).status_code == 404
    assert (await api.post("/policies/explain", read, "t-eve")).status_code == 403


async def test_readiness(api: Api) -> None:
    """What it stands on does not answer: no session can be opened."""
    api.ready[0] = False
    answer = await api.get("/readyz", None)
    assert (answer.status_code, answer.json()["status"]) == (503, 503)


async def test_a_configuration_that_is_not_in_force(api: Api) -> None:
    """Whoever may view the gateway reads why; readiness says nothing of it, for it needs no token."""
    assert (await api.get("/health", "t-ops")).json() == {"status": "ok", "problems": []}
    api.problems += [f"targets[{number}]: no such file" for number in range(150)]
    said = (await api.get("/health", "t-ops")).json()
    assert (said["status"], len(said["problems"]), said["problems"][0]) == ("not-adopted", 100, api.problems[0])
    denied = await api.get("/health", "t-eve")
    assert (denied.status_code, "no such file" in denied.text) == (403, False)
    assert (await api.get("/readyz", None)).json() == {"status": "ok"}


# ---------------------------------------------------------------- the guard alone


async def through(guarded: Guard, path: str = "/") -> tuple[int, dict[str, str]]:
    """Status and headers of an answer."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await guarded({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


async def test_no_request_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes too long is answered without it; a path may have more time."""
    monkeypatch.setattr(guard, "SECONDS", 0.0)

    async def forever(*_: Any) -> None:
        await asyncio.Event().wait()

    status, _ = await through(Guard(forever, tls=False, slow={}))
    assert status == 503

    async def quick(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    status, headers = await through(Guard(quick, tls=False, slow={"/slow": 60.0}), "/slow")
    assert status == 204
    assert "strict-transport-security" not in headers
    assert headers["cache-control"] == "no-store"


async def test_bodies_that_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends none, from however many addresses of one network, takes the room of that network alone."""
    monkeypatch.setattr(guard, "MAX_OF_ONE", 2)

    async def never() -> Any:
        await asyncio.Event().wait()

    async def answers(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guarded = Guard(answers, tls=True, slow={})
    seen: list[Any] = []

    async def send(message: Any) -> None:
        seen.append(message.get("status"))

    def scope(host: str) -> dict[str, Any]:
        return {"type": "http", "method": "GET", "path": "/", "headers": [], "client": (host, 1)}

    async def whole() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    hanging = [asyncio.create_task(guarded(scope(f"2001:db8::{n}"), never, send)) for n in (1, 2)]
    await asyncio.sleep(0)
    await guarded(scope("2001:db8::3"), whole, send)
    await guarded(scope("192.0.2.1"), whole, send)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await guarded(scope("2001:db8::3"), whole, send)
    assert [status for status in seen if status is not None] == [503, 204, 204]


async def test_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is turned away; afterwards there is room again."""
    monkeypatch.setattr(guard, "MAX_ACTIVE", 1)
    go = asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guarded = Guard(waits, tls=True, slow={})
    first = asyncio.create_task(through(guarded))
    await asyncio.sleep(0)
    assert (await through(guarded))[0] == 503
    go.set()
    assert (await first)[0] == 204
    assert (await through(guarded))[0] == 204
