"""Deciding and ending: permitted, written down before and after, carried out once."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from ostiary.recording import Change, ChangeStage, State, read, verify_all
from ostiary.recording.keys import Signer, TrustedKeys
from tests.api.kit import Api
from tests.cli.kit import CODE

REASON = {"reason": "seen with the team"}


def changes(api: Api) -> list[Change]:
    """What the audit logs hold."""
    logs = sorted((api.desk.home / "recordings" / "audit").glob("*.log"))
    return [entry.body for path in logs for entry in read(path) if isinstance(entry.body, Change)]


async def asked(api: Api, **more: Any) -> None:
    """A request that waits on orders."""
    await asyncio.to_thread(api.desk.ask, text="orders", **more)


async def test_approving(api: Api) -> None:
    """Takes a permit and membership; the answer is the request after it."""
    await asked(api)
    listed = (await api.get("/approvals", "t-dana")).json()["items"]
    assert [(each["code"], each["state"], each["target"]) for each in listed] == [(CODE, "pending", "orders")]
    answer = await api.post(f"/approvals/{CODE}/approve", REASON, "t-dana")
    assert answer.status_code == 200
    assert answer.json()["state"] == "approved"
    assert [(vote["by"], vote["reason"]) for vote in answer.json()["votes"]] == [("ci:dana", REASON["reason"])]
    assert (await api.get("/approvals", "t-dana")).json()["items"] == []
    first, last = changes(api)
    assert (first.stage, last.stage) == (ChangeStage.ASKED, ChangeStage.DONE)
    assert (last.by, last.proof_id, last.source, last.resource) == (
        "ci:dana", "jti-1", "127.0.0.1:4711", f"approvals/{CODE}",
    )  # fmt: skip
    assert (last.action, last.rules, last.reason) == ("approve", ("approvers",), REASON["reason"])
    assert (last.before["state"], last.after["state"]) == ("pending", "approved")
    assert last.after["approved_by"] == ["ci:dana"]
    assert first.change_id == last.change_id
    settled = await api.post(f"/approvals/{CODE}/deny", REASON, "t-erin")
    assert (settled.status_code, settled.json()["type"]) == (409, "urn:ostiary:problem:settled")
    assert [change.stage for change in changes(api)[2:]] == [ChangeStage.ASKED, ChangeStage.FAILED]


async def test_denying(api: Api) -> None:
    """One denial is enough."""
    await asked(api, group="two")
    assert (await api.post(f"/approvals/{CODE}/deny", REASON, "t-dana")).json()["state"] == "denied"


async def test_deciding_takes_both(api: Api) -> None:
    """A permit without membership, and no permit; nothing is decided, and only what was permitted is written down."""
    await asked(api)
    policies = api.desk.home / "policies" / "all.cedar"
    policies.write_text(
        policies.read_text() + 'permit (principal in Group::"ops", action == Action::"approve", resource);'
    )
    api.policy.reload()
    no_member = await api.post(f"/approvals/{CODE}/approve", REASON, "t-ops")
    assert (no_member.status_code, no_member.json()["type"]) == (403, "urn:ostiary:problem:not-a-member")
    no_permit = await api.post(f"/approvals/{CODE}/approve", REASON, "t-eve")
    assert (no_permit.status_code, no_permit.json()["type"]) == (403, "urn:ostiary:problem:denied")
    assert (await api.get(f"/approvals/{CODE}", "t-eve")).status_code == 403
    assert {change.by for change in changes(api)} == {"ci:olga"}
    assert (await api.get(f"/approvals/{CODE}", "t-dana")).json()["votes"] == []
    assert (await api.get("/approvals/00000000", "t-dana")).status_code == 404


async def test_if_match(api: Api) -> None:
    """A decision is for the request as it was seen: another vote in between, and it is not counted."""
    await asked(api, group="two")
    seen = (await api.get(f"/approvals/{CODE}", "t-dana")).headers["etag"]
    stale = await api.post(f"/approvals/{CODE}/approve", REASON, "t-dana", If_Match='"other"')
    assert stale.status_code == 412
    assert (await api.post(f"/approvals/{CODE}/approve", REASON, "t-dana", If_Match=seen)).status_code == 200
    late = await api.post(f"/approvals/{CODE}/approve", REASON, "t-erin", If_Match=seen)
    assert (late.status_code, late.json()["type"]) == (412, "urn:ostiary:problem:changed")
    assert len((await api.get(f"/approvals/{CODE}", "t-dana")).json()["votes"]) == 1


async def test_a_key_is_good_for_one_request(api: Api) -> None:
    """Sent again it is answered again and carried out once; for another request or by another person it is not it."""
    await asked(api, group="two")
    path = f"/approvals/{CODE}/approve"
    first = await api.post(path, REASON, "t-dana", Idempotency_Key="k1")
    again = await api.post(path, REASON, "t-dana", Idempotency_Key="k1")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(changes(api)) == 2
    other = await api.post(path, {"reason": "another"}, "t-dana", Idempotency_Key="k1")
    assert (other.status_code, other.json()["type"]) == (422, "urn:ostiary:problem:idempotency")
    assert (await api.post(path, REASON, "t-dana")).status_code == 403
    erin = await api.post(path, REASON, "t-erin", Idempotency_Key="k1")
    assert erin.json()["state"] == "approved"


async def test_what_failed_may_be_tried_again(api: Api) -> None:
    """Under the same key."""
    for _ in range(2):
        api.live.names.clear()
        failed = await api.post("/sessions/5f2c0001/kill", REASON, "t-ops", Idempotency_Key="k1")
        assert failed.status_code == 404
    api.live.names["5f2c0001"] = "orders"
    assert (await api.post("/sessions/5f2c0001/kill", REASON, "t-ops", Idempotency_Key="k1")).status_code == 200


async def test_ending_a_session(api: Api) -> None:
    """Its client is told who and why; what it was is written down before."""
    api.live.names |= {"a": "orders", "b": "stock"}
    answer = await api.post("/sessions/a/kill", REASON, "t-ops")
    assert answer.json() == {"session_id": "a", "by": "ci:olga", "reason": REASON["reason"], "closed": True}
    assert api.live.ended == [("a", "ci:olga", REASON["reason"])]
    first, last = changes(api)
    assert (first.stage, last.stage, last.action) == (ChangeStage.ASKED, ChangeStage.DONE, "administer")
    assert first.before == {"state": "live", "principal": "ci:job", "target": "orders", "source": "10.0.0.1:5"}
    assert last.after["state"] == "ended"
    assert (await api.post("/sessions/b/kill", REASON, "t-ops")).status_code == 403
    assert set(api.live.names) == {"b"}


async def test_only_live_sessions_end(api: Api) -> None:
    """One that is over is told from one that never was; who may not end it learns neither."""
    await asyncio.to_thread(api.desk.record, "5f2c0001", "orders")
    over = await api.post("/sessions/5f2c0001/kill", REASON, "t-ops")
    assert (over.status_code, over.json()["type"]) == (409, "urn:ostiary:problem:not-live")
    assert (await api.post("/sessions/5f2c0009/kill", REASON, "t-ops")).status_code == 404
    assert (await api.post("/sessions/5f2c0001/kill", REASON, "t-eve")).status_code == 403
    for unfit in ("", " ", "a\nb", "x" * 501, "\u202ex"):
        api.live.names["a"] = "orders"
        assert (await api.post("/sessions/a/kill", {"reason": unfit}, "t-ops")).status_code == 422
    assert api.live.ended == []
    assert changes(api) == []


async def test_no_change_that_cannot_be_written_down(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk refuses it; nothing happens."""
    api.live.names["a"] = "orders"

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        answer = await api.post("/sessions/a/kill", REASON, "t-ops")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:ostiary:problem:unavailable")
    assert api.live.ended == []
    assert (await api.post("/sessions/a/kill", REASON, "t-ops")).status_code == 200


async def test_the_audit_log_is_verified(api: Api) -> None:
    """With the rest; a changed line is found."""
    api.live.names["a"] = "orders"
    await api.post("/sessions/a/kill", REASON, "t-ops")
    found = (await api.post("/audit/verify", None, "t-audit")).json()
    assert (found["whole"], found["states"]) == (True, {"running": 2})
    (path,) = (api.desk.home / "recordings" / "audit").glob("*.log")
    path.write_bytes(path.read_bytes().replace(b"ci:olga", b"ci:ella"))
    found = (await api.post("/audit/verify", None, "t-audit")).json()
    assert found["whole"] is False
    assert [(each["file"], each["type"], each["state"]) for each in found["bad"]] == [(path.name, "audit", "tampered")]
    assert states(api.desk.home)["audit"] is State.TAMPERED


async def test_changes_are_listed(api: Api) -> None:
    """Newest first, over days, a page at a time; up to where a log can be read."""
    for number in range(3):
        api.live.names[f"s{number}"] = "orders"
        await api.post(f"/sessions/s{number}/kill", REASON, "t-ops")
    assert (await api.get("/audit/changes", "t-ops")).status_code == 403
    (path,) = (api.desk.home / "recordings" / "audit").glob("*.log")
    older = path.with_name(f"20200101{path.name[8:]}")
    older.write_bytes(path.read_bytes())
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get(f"/audit/changes?limit=4&cursor={cursor}", "t-audit")).json()
        assert len(page["items"]) <= 4
        found += page["items"]
        cursor = page["next"]
    one_log = [(f"sessions/s{n}", stage) for n in (2, 1, 0) for stage in ("done", "asked")]
    assert [(each["resource"], each["stage"]) for each in found] == one_log * 2
    assert (found[0]["by"], found[0]["after"]["state"], found[0]["reason"]) == ("ci:olga", "ended", REASON["reason"])
    lines = older.read_bytes().splitlines(keepends=True)
    older.write_bytes(b"".join([*lines[:3], b"no line\n", *lines[3:]]))
    assert len((await api.get("/audit/changes", "t-audit")).json()["items"]) == 8


def states(home: Path) -> dict[str, State]:
    """By type of file."""
    keys = TrustedKeys.of(Signer.load(home / "recording.key").public)
    return {verdict.type.value: verdict.state for verdict in verify_all(home / "recordings", keys)}
