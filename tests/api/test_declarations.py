"""Changing what is declared through the API: conditions, validation, who may, and what is written down."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from httpx2 import Response

from ostiary.resources import Key, ResourceKind, StoredResource
from tests.api.kit import Api

DB = {
    "protocol": "postgres",
    "address": "reports.internal:5432",
    "tls": {"mode": "disable"},
    "credential": {"type": "static", "username": "app"},
}
RULE = '@id("no-drops") forbid (principal, action == Action::"define", resource);'
MERGE = "application/merge-patch+json"


def put(api: Api, path: str, body: Any, token: str = "t-admin", **headers: str) -> Any:
    """A PUT."""
    return api.send("PUT", path, token, body, **headers)


async def patch(api: Api, path: str, body: bytes, token: str = "t-admin", **headers: str) -> Response:
    """A PATCH, with its own media type."""
    return await api.send("PATCH", path, token, body, Content_Type=MERGE, **headers)


def problem(response: Response, status: int, name: str) -> str:
    """The sentence of a problem of this kind, and what is wrong part by part."""
    body = response.json()
    assert (response.status_code, body["type"]) == (status, f"urn:ostiary:problem:{name}"), body
    errors = [f"{each['place']}: {each['message']}" for each in body.get("errors", [])]
    return "\n".join([body["detail"], *errors])


def changes(response: Response) -> list[tuple[str, str, str]]:
    """What a change came to."""
    assert response.status_code == 200, response.text
    return [(each["kind"], each["name"], each["change"]) for each in response.json()["changes"]]


async def stored(api: Api) -> dict[str, StoredResource]:
    """What the store holds, by name."""
    return {each.name: each for each in (await api.store.resources.all()).items}


@pytest.mark.parametrize(
    ("kind", "path", "document"),
    [
        ("target", "/targets/reports", DB),
        ("issuer", "/issuers/corp", {"type": "oidc", "issuer": "https://corp.example", "audience": "x"}),
        ("policy", "/policies/no-drops", {"text": RULE}),
        ("classification", "/classifications/orders/public.people.phone", {"class": "pii.phone"}),
        ("masking", "/masking/pii.phone", {"transform": "redact"}),
        ("approval-group", "/approval-groups/finance", {"members": [{"group": "finance"}], "timeout": "5m"}),
    ],
)
async def test_each_kind_is_made_changed_and_deleted(api: Api, kind: str, path: str, document: Any) -> None:
    """Put, put again with what was seen, delete; each in the audit log with before and after."""
    name = path.split("/", 2)[2]
    made = await put(api, path, document)
    assert changes(made) == [(kind, name, "create")]
    assert made.json()["revision"] == 1
    again = await put(api, path, document, If_Match='"r1"')
    assert changes(again) == [(kind, name, "unchanged")]
    assert await stored(api) == {
        name: StoredResource(ResourceKind(kind), name, document, 1, (await stored(api))[name].changed_at, "ci:adam")
    }
    assert "may have changed" in problem(await api.send("DELETE", path, "t-admin"), 428, "condition")
    gone = await api.send("DELETE", path, "t-admin", If_Match='"r1"')
    assert changes(gone) == [(kind, name, "delete")]
    assert await stored(api) == {}
    problem(await api.send("DELETE", path, "t-admin"), 404, "not-found")
    log = (await api.get("/audit/changes")).json()["items"]
    assert [(each["stage"], each["reason"], each["by"]) for each in log] == [
        ("done", "delete", "ci:adam"),
        ("asked", "delete", "ci:adam"),
        ("done", "create", "ci:adam"),
        ("asked", "create", "ci:adam"),
    ]
    assert (log[0]["before"], log[0]["after"]) == (document, {})
    assert (log[-1]["before"], log[-1]["after"]) == ({}, document)
    assert log[0]["resource"] == path[1:]


async def test_what_is_there_is_not_overwritten_unseen(api: Api) -> None:
    """428 without a condition, 412 with one that is old, and with the ETag of a read it goes."""
    await put(api, "/masking/x", {"transform": "redact"})
    assert "is there already" in problem(await put(api, "/masking/x", {"transform": "keep"}), 428, "condition")
    problem(await put(api, "/masking/x", {"transform": "keep"}, If_Match='"r7"'), 412, "changed")
    problem(await put(api, "/masking/x", {"transform": "keep"}, If_Match='"nonsense"'), 412, "changed")
    problem(await put(api, "/masking/x", {"transform": "keep"}, If_None_Match="*"), 412, "changed")
    problem(await put(api, "/masking/y", {"transform": "keep"}, If_Match="*"), 412, "changed")
    problem(await put(api, "/masking/y", {"transform": "keep"}, If_None_Match='"r1"'), 422, "invalid")
    seen = await api.get("/masking/x", "t-admin")
    assert seen.json()["document"] == {"transform": "redact"}
    assert (await api.get("/masking/x", "t-admin", If_None_Match=seen.headers["ETag"])).status_code == 304
    assert changes(await put(api, "/masking/x", {"transform": "keep"}, If_Match=seen.headers["ETag"]))
    problem(await put(api, "/masking/x", {"transform": "null"}, If_Match=seen.headers["ETag"]), 412, "changed")
    assert (await stored(api))["x"].document == {"transform": "keep"}


async def test_a_merge_patch_changes_what_it_names(api: Api) -> None:
    """Null takes away, mappings are merged, what is not named stays; the media type is its own."""
    await put(api, "/targets/reports", DB | {"labels": {"a": "1", "b": "2"}, "database": "x"})
    done = await patch(
        api, "/targets/reports", b'{"database": null, "labels": {"a": null, "c": "3"}, "recording": "full"}'
    )
    assert [(each["field"], each["before"], each["after"]) for each in done.json()["changes"][0]["differences"]] == [
        ("labels.a", "1", None),
        ("labels.c", None, "3"),
        ("database", "x", None),
        ("recording", None, "full"),
    ]
    assert (await stored(api))["reports"].document == DB | {"labels": {"b": "2", "c": "3"}, "recording": "full"}
    problem(await patch(api, "/targets/reports", b'{"database": "y"}', If_Match='"r1"'), 412, "changed")
    problem(await patch(api, "/targets/nothing", b"{}"), 404, "not-found")
    problem(await api.send("PATCH", "/targets/reports", "t-admin", {}), 415, "media-type")
    problem(await patch(api, "/targets/reports", b"[]"), 422, "invalid")


async def test_a_dry_run_shows_and_changes_nothing(api: Api) -> None:
    """Nor is it written down; what would not load is refused in it too."""
    shown = await put(api, "/masking/x?dry_run=true", {"transform": "keep"})
    assert changes(shown) == [("masking", "x", "create")]
    assert (shown.json()["dry_run"], shown.json()["in_force"], shown.json()["changed"]) == (True, "not", True)
    problem(await put(api, "/masking/x?dry_run=true", {"transform": "spin"}), 422, "not-loadable")
    assert await stored(api) == {}
    assert (await api.get("/audit/changes")).json()["items"] == []


@pytest.mark.parametrize(
    ("path", "document", "says"),
    [
        ("/masking/x", {"transform": "spin"}, 'masking "x": transform: '),
        ("/masking/x", {"transform": "hash"}, "`hash` needs a key"),
        ("/targets/reports", DB | {"address": "canary:5432:x"}, 'target "reports": address: write an address'),
        ("/targets/reports", DB | {"credential": {"type": "static", "username": "x", "password": "canary"}}, "secret"),
        (
            "/targets/reports",
            DB | {"credential": {"type": "static", "username": "x", "password": {"file": "/etc/shadow"}}},
            "may not be sent to this address",
        ),
        ("/targets/a.b..c%0a", DB, "its name must be"),
        ("/policies/x", {"text": "permit (principal, action, resource);"}, "write @id"),
        ("/policies/x", {"text": "nonsense"}, "not a Cedar policy"),
        (
            "/policies/x",
            {"text": '@id("x") @approval("nobody") forbid (principal, action, resource);'},
            "no such group",
        ),
        ("/policies/x", {"text": f'@id("x") permit (principal, action, resource) when {{ {"!" * 9999}true }};'}, "400"),
        ("/policies/works", {"text": '@id("works") permit (principal, action, resource);'}, None),
        ("/approval-groups/dba", {"members": []}, None),
        ("/targets/orders", DB, None),
        ("/issuers/ci", {}, None),
        ("/classifications/orders/public.people.email", {"class": "x"}, None),
        ("/classifications/nowhere/a.b", {"class": "x"}, "no target is called"),
    ],
)
async def test_what_does_not_load_is_refused(api: Api, path: str, document: Any, says: str | None) -> None:
    """With a sentence that names it, before it is stored; what a file declares is told with its line."""
    response = await put(api, path, document)
    if says is None:
        assert ":" in problem(response, 409, "read-only").partition("declared at ")[2]
        problem(await api.send("DELETE", path, "t-admin", If_Match="*"), 409, "read-only")
    else:
        assert says in problem(response, 422, "not-loadable")
    assert "canary" not in response.text
    assert await stored(api) == {}
    assert (await api.get("/audit/changes")).json()["items"] == []


async def test_references_are_not_in_the_audit_log(api: Api) -> None:
    """That one changed is; what it refers to is not."""
    config = api.desk.config
    config.write_text(config.read_text().replace("  tls: auto\n", "  tls: auto\n" + ALLOWED))
    (config.parent / "canary-file").write_text("pw")
    response = await put(api, "/targets/reports", DB | {"credential": SECRET})
    assert "chmod" in problem(response, 422, "not-loadable")
    assert str(config.parent) not in response.text
    (config.parent / "canary-file").chmod(0o600)
    assert changes(await put(api, "/targets/reports", DB | {"credential": SECRET}))
    log = (await api.get("/audit/changes")).text
    assert "canary" not in log
    assert "a reference (" in log


SECRET = {"type": "static", "username": "app", "password": {"file": "canary-file"}}
ALLOWED = '  allow_references: [{file: canary-file, addresses: ["reports.internal:5432"]}]\n'


# ---------------------------------------------------------------- who may

OWN = '@id("own") permit (principal in Group::"app", action == Action::"administer", resource == Target::"reports");'


async def test_a_targets_administrator_changes_it_and_nothing_else(api: Api) -> None:
    """Not its labels, which policies go by; not whether it is there; nobody else's."""
    await put(api, "/targets/reports", DB)
    await api.repermit(
        '@id("own") permit (principal in Group::"app", action, resource in Target::"reports");'
        '@id("own2") permit (principal in Group::"app", action == Action::"administer", resource == Target::"reports");'
    )
    api.targets["reports"] = replace(api.targets["orders"], name="reports")
    assert changes(await patch(api, "/targets/reports", b'{"recording": "full"}', "t-eve"))
    assert changes(await put(api, "/classifications/reports/a.b", {"class": "x"}, "t-eve"))
    for response in (
        await patch(api, "/targets/reports", b'{"labels": {"environment": "toy"}}', "t-eve"),
        await api.send("DELETE", "/targets/reports", "t-eve", If_Match="*"),
        await put(api, "/targets/orders", DB, "t-eve"),
        await put(api, "/targets/new", DB, "t-eve"),
        await put(api, "/masking/x", {"transform": "keep"}, "t-eve"),
        await put(api, "/classifications/orders/a.b", {"class": "x"}, "t-eve"),
        await api.post("/apply", {"resources": [], "prune": True}, "t-eve"),
    ):
        problem(response, 403, "denied")


async def test_nobody_else_learns_what_there_is(api: Api) -> None:
    """Denied before anything is compared, and documents are for those who may change them."""
    await put(api, "/masking/x", {"transform": "keep"})
    problem(await put(api, "/masking/x", {"transform": "spin"}, "t-audit"), 403, "denied")
    problem(await api.send("DELETE", "/masking/none", "t-audit"), 403, "denied")
    problem(await api.get("/masking/x", "t-eve"), 403, "denied")
    shown = (await api.get("/masking/x", "t-audit")).json()
    assert (shown["document"], shown["revision"], shown["changed_by"]) == (None, 1, "ci:adam")
    listed = (await api.get("/masking", "t-admin")).json()["items"]
    assert [(each["name"], each["place"], each["document"]) for each in listed] == [
        ("pii.email", "ostiary.yaml:24", {"transform": "partial"}),
        ("x", None, {"transform": "keep"}),
    ]
    groups = (await api.get("/approval-groups", "t-admin")).json()["items"]
    assert [each["name"] for each in groups] == ["dba", "two"]
    assert (await api.get("/targets/orders", "t-admin")).json()["declaration"]["place"] == "ostiary.yaml:8"
    assert (await api.get("/policies/works", "t-admin")).json()["declaration"]["place"] == "all.cedar:1"
    assert (await api.get("/issuers/ci", "t-audit")).json()["declaration"]["document"] is None
    one = await api.get("/classifications/orders/public.people.email", "t-admin")
    assert one.json()["document"] == {"class": "pii.email"}


# ---------------------------------------------------------------- many in one change


def applied(*resources: tuple[str, str, Any], **more: Any) -> dict[str, Any]:
    """A body."""
    return {"resources": [{"kind": k, "name": n, "document": d} for k, n, d in resources], **more}


REPORTS = ("target", "reports", DB)
PHONE = ("classification", "reports/public.people.phone", {"class": "pii.phone"})
MASKED = ("masking", "pii.phone", {"transform": "redact"})


async def test_applying_is_whole_and_idempotent(api: Api) -> None:
    """All or none; the second time there is nothing to do; what a file says just so is left alone."""
    body = applied(PHONE, REPORTS, MASKED, ("masking", "pii.email", {"transform": "partial"}))
    done = await api.post("/apply", body, "t-admin")
    assert changes(done) == [
        ("target", "reports", "create"),
        ("classification", "reports/public.people.phone", "create"),
        ("masking", "pii.email", "unchanged"),
        ("masking", "pii.phone", "create"),
    ]
    assert done.json()["changes"][2]["place"] == "ostiary.yaml:24"
    again = await api.post("/apply", body, "t-admin")
    assert (again.json()["changed"], again.json()["revision"]) == (False, 1)
    bad = applied(REPORTS, ("masking", "other", {"transform": "keep"}), ("masking", "bad", {"transform": "spin"}))
    problem(await api.post("/apply", bad, "t-admin"), 422, "not-loadable")
    other = applied(("masking", "pii.email", {"transform": "keep"}))
    problem(await api.post("/apply", other, "t-admin"), 409, "read-only")
    problem(await api.post("/apply", applied(MASKED, MASKED), "t-admin"), 422, "not-loadable")
    assert set(await stored(api)) == {"reports", PHONE[1], "pii.phone"}


async def test_applying_tells_nothing_to_who_may_not(api: Api) -> None:
    """Neither where a file declares something, nor whether a guess of it is right, nor at which revision all is."""
    right = ("masking", "pii.email", {"transform": "partial"})
    wrong = ("masking", "pii.email", {"transform": "redact"})
    for body in (applied(right), applied(wrong), applied(wrong, revision=7), applied(wrong, dry_run=True)):
        said = problem(await api.post("/apply", body, "t-audit"), 403, "denied")
        assert "ostiary.yaml" not in said
        assert "revision" not in said


async def test_pruning_deletes_what_is_stored_and_nothing_of_the_files(api: Api) -> None:
    """Only when asked; the names of documents may be there or not."""
    await api.post("/apply", applied(REPORTS, PHONE, MASKED), "t-admin")
    named = ("target", "reports", DB | {"name": "reports"})
    assert changes(await api.post("/apply", applied(named), "t-admin")) == [("target", "reports", "unchanged")]
    pruned = await api.post("/apply", applied(named, prune=True), "t-admin")
    assert changes(pruned) == [
        ("target", "reports", "unchanged"),
        ("classification", PHONE[1], "delete"),
        ("masking", "pii.phone", "delete"),
    ]
    assert set(await stored(api)) == {"reports"}
    assert set(changes(await api.post("/apply", applied(prune=True), "t-admin"))) == {("target", "reports", "delete")}
    assert (await api.get("/targets/orders", "t-admin")).status_code == 200


async def test_of_two_who_apply_one_is_told(api: Api) -> None:
    """Both have seen the same revision: 412 for whoever comes second, also at the same moment."""
    mine, theirs = (applied(("masking", name, {"transform": "keep"}), revision=0) for name in ("a", "b"))
    both = await asyncio.gather(api.post("/apply", mine, "t-admin"), api.post("/apply", theirs, "t-all-admin"))
    assert sorted(each.status_code for each in both) == [200, 412]
    assert len(await stored(api)) == 1


async def test_changes_to_different_resources_at_once_are_all_made(api: Api) -> None:
    """Whoever was overtaken tries again by itself."""
    both = await asyncio.gather(*(put(api, f"/masking/m{number}", {"transform": "keep"}) for number in range(2)))
    assert [each.status_code for each in both] == [200, 200]
    assert set(await stored(api)) == {"m0", "m1"}


async def test_a_key_makes_applying_once(api: Api) -> None:
    """Sent again it is answered again."""
    body = applied(MASKED)
    first = await api.post("/apply", body, "t-admin", Idempotency_Key="k")
    again = await api.post("/apply", body, "t-admin", Idempotency_Key="k")
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"resources": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}", {400, 422}),
        (b'{"resources": [], "more": 1}', {422}),
        (b'{"resources": [{"kind": "server", "name": "x", "document": {}}]}', {422}),
        (b'{"resources": [{"kind": "masking", "name": "", "document": {}}]}', {422}),
        (b'{"resources": [{"kind": "masking", "name": "x\\u0000", "document": {}}]}', {422}),
        (b'{"resources": [{"kind": "masking", "name": "\\ud800", "document": {}}]}', {400, 422}),
        (b'{"resources": [{"kind": "masking", "name": "x", "document": {"a": "\\ud800"}}]}', {400, 422}),
        (b'{"resources": [{"kind": "masking", "name": "x", "document": {"transform": 1e999}}]}', {400, 422}),
        (b'{"resources": [' + b"1," * 2_500_000 + b"1]}", {413}),
    ],
)
async def test_hostile_bodies(api: Api, body: bytes, status: set[int]) -> None:
    """Deep, huge, odd: a sentence, and nothing is stored."""
    response = await api.send("POST", "/apply", "t-admin", body, Content_Type="application/json")
    assert response.status_code in status, response.text
    assert await stored(api) == {}


async def test_a_document_is_bounded(api: Api) -> None:
    """Each by itself, however large the whole may be."""
    big = applied(("masking", "x", {"transform": "a" * 65_536}))
    assert "larger than 65536 bytes" in problem(await api.post("/apply", big, "t-admin"), 422, "not-loadable")
    deep: Any = "x"
    for _ in range(20):
        deep = {"a": deep}
    body = applied(("masking", "x", deep))
    assert "nested deeper" in problem(await api.post("/apply", body, "t-admin"), 422, "not-loadable")


async def test_adopting_is_told(api: Api) -> None:
    """`now` when this process has it in force."""
    api.adopts[0] = True
    assert (await put(api, "/masking/x", {"transform": "keep"})).json()["in_force"] == "now"
    api.adopts[0] = False
    assert (await put(api, "/masking/y", {"transform": "keep"})).json()["in_force"] == "within 5 s"


async def test_a_resource_that_a_file_took_over_may_go(api: Api) -> None:
    """Both together do not load; what is stored can still be deleted."""
    key = Key(ResourceKind.MASKING, "pii.email")
    assert await api.store.resources.change(0, [StoredResource(*key, {"transform": "keep"})], [], "x", 1.0) == 1
    assert changes(await api.send("DELETE", "/masking/pii.email", "t-admin", If_Match="*")) == [
        ("masking", "pii.email", "delete")
    ]
