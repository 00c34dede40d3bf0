"""Events are what the schema asks for. The tables are of https://schema.ocsf.io/1.3.0, written down by hand."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from ostiary.core import ActionRefused, LeaseIssued, Record, SessionEnded
from ostiary.export import Statements
from ostiary.export.ocsf import _SIGN_INS, MAX_STATEMENT, MAX_TEXT, Origin, event_of
from ostiary.recording import AccessToken, Change, ChangeStage, Entry, SignIn, SignInEvent, TokenEvent
from tests.export.kit import APPROVED, CHANGE, DENIED, HELD, READ, short, started

#: schema.ocsf.io/1.3.0/classes/*: attributes with requirement "required", those of the base event included.
BASE = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
REQUIRED: Mapping[int, set[str]] = {
    3001: BASE | {"user"},
    3002: BASE | {"user"},
    3004: BASE | {"entity"},
    6005: BASE | {"actor", "src_endpoint"},
}
#: "at_least_one" of each class.
ONE_OF: Mapping[int, set[str]] = {3002: {"service", "dst_endpoint"}, 6005: {"database", "databucket", "table"}}
ACTIVITIES: Mapping[int, Mapping[int, str]] = {
    3001: {1: "Create", 2: "Enable", 3: "Password Change", 5: "Disable", 6: "Delete", 99: "Other"},
    3002: {1: "Logon", 2: "Logoff", 99: "Other"},
    3004: {1: "Create", 2: "Read", 3: "Update", 4: "Delete"},
    6005: {1: "Read", 2: "Update", 3: "Connect", 4: "Query", 5: "Write", 6: "Create", 7: "Delete", 99: "Other"},
}
SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"}
STATUSES = {0: "Unknown", 1: "Success", 2: "Failure", 99: "Other"}
#: Objects: "required", and "at_least_one".
OBJECT_REQUIRED = {"metadata": {"product", "version"}, "database": {"type_id"}}
OBJECT_ONE_OF = {"user": {"account", "name", "uid"}, "entity": {"name", "uid"}, "src_endpoint": {"ip", "name", "uid"}}

ENDED = SessionEnded("the client went away", "kept", 2, 1)
TURNED_AWAY = SessionEnded("refused: denied", "none was lent", 0, 1)
ACCOUNT = replace(CHANGE, resource="service-accounts/robot", reason="disable")
HOSTILE = 'x\n{"a":1}\x1b[2J\u202e\\"'


def event(
    body: Record | AccessToken | Change | SignIn,
    statements: Statements = Statements.NOTABLE,
    principal: str = "ci:shop",
) -> dict[str, Any] | None:
    """What is told of a record."""
    first = None if isinstance(body, AccessToken | Change | SignIn) else started("s1", principal)
    kind = {"Change": "change"}.get(type(body).__name__, "kind")
    return event_of(Entry(7, 1_767_225_600.25, kind, body), Origin("s1", first), statements)


def check(found: dict[str, Any]) -> None:
    """Against the tables."""
    kind = found["class_uid"]
    assert REQUIRED[kind] <= found.keys()
    assert not ONE_OF.get(kind) or ONE_OF[kind] & found.keys()
    assert found["category_uid"] == kind // 1000
    assert ACTIVITIES[kind][found["activity_id"]] == found["activity_name"]
    assert found["type_uid"] == kind * 100 + found["activity_id"]
    assert SEVERITIES[found["severity_id"]] == found["severity"]
    assert STATUSES[found["status_id"]] == found["status"]
    assert found["time"] == 1_767_225_600_250
    for name, required in OBJECT_REQUIRED.items():
        assert name not in found or required <= found[name].keys()
    for holder in (found, found.get("actor", {})):
        for name, one in OBJECT_ONE_OF.items():
            assert name not in holder or one & holder[name].keys()
    assert found["metadata"]["product"]["name"] == "Ostiary"
    assert found["metadata"]["uid"] == "s1:7"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (LeaseIssued("l1", "static", "app"), ("Authentication", "Logon", "Success")),
        (TURNED_AWAY, ("Authentication", "Logon", "Failure")),
        (ENDED, ("Authentication", "Logoff", "Success")),
        (DENIED, ("Datastore Activity", "Delete", "Failure")),
        (HELD, ("Datastore Activity", "Query", "Other")),
        (APPROVED, ("Datastore Activity", "Other", "Success")),
        (CHANGE, ("Entity Management", "Update", "Success")),
        (replace(CHANGE, before={}), ("Entity Management", "Create", "Success")),
        (replace(CHANGE, after={}), ("Entity Management", "Delete", "Success")),
        (replace(CHANGE, stage=ChangeStage.FAILED), ("Entity Management", "Update", "Failure")),
        (ACCOUNT, ("Account Change", "Disable", "Success")),
        (replace(ACCOUNT, reason="remove-key"), ("Account Change", "Other", "Success")),
    ],
)
def test_every_event_has_what_its_class_requires(body: Record | Change, wanted: tuple[str, str, str]) -> None:
    """Class, activity and status; and all that is required."""
    found = event(body)
    assert found is not None
    check(found)
    assert short(found) == wanted


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        (SignInEvent.SIGNED_IN, ("Authentication", "Logon", "Success")),
        (SignInEvent.GRANTED, ("Authentication", "Logon", "Success")),
        (SignInEvent.REFUSED, ("Authentication", "Logon", "Failure")),
        (SignInEvent.REUSED, ("Authentication", "Logon", "Failure")),
        (SignInEvent.SIGNED_OUT, ("Authentication", "Logoff", "Success")),
        (SignInEvent.CONFIRMED, ("Authentication", "Other", "Success")),
        (SignInEvent.DENIED, ("Authentication", "Other", "Failure")),
        (SignInEvent.SET_UP, ("Account Change", "Password Change", "Success")),
    ],
)
@pytest.mark.parametrize("by", ["", "corp:ada"])
def test_every_sign_in_is_told(what: SignInEvent, wanted: tuple[str, str, str], by: str) -> None:
    """Also of who proved to be nobody; what becomes of new kinds is decided here."""
    found = event(SignIn(what, by, "password", "browser", "10.0.0.1:5", "l1", HOSTILE))
    assert found is not None
    check(found)
    assert short(found) == wanted
    assert found["user"]["name"] == (by.partition(":")[2] or "unknown")
    assert set(_SIGN_INS) == set(SignInEvent)


@pytest.mark.parametrize(
    ("what", "status"),
    [(TokenEvent.ISSUED, "Success"), (TokenEvent.REFUSED, "Failure"), (TokenEvent.REVOKED, "Success")],
)
def test_every_token_is_told(what: TokenEvent, status: str) -> None:
    """Whose it is and what for, by its id; of one that was refused nobody is known."""
    who = "" if what is TokenEvent.REFUSED else "corp:ada"
    found = event(
        AccessToken(what, "billing", who, "client_credentials", ("orders",), "j1", 9.0, "10.0.0.1:5", HOSTILE)
    )
    assert found is not None
    check(found)
    assert short(found) == ("Authentication", "Other", status)
    assert found["user"]["name"] == (who.partition(":")[2] or "unknown")
    assert found["session"]["uid"] == "j1"
    assert found["unmapped"] == {
        "client": "billing",
        "grant": "client_credentials",
        "targets": ["orders"],
        "expires_at": 9000,
    }


def test_what_is_not_told() -> None:
    """A statement that just ran, unless all are wanted; a change that is only asked for."""
    assert event(READ) is None
    all_of_them = event(READ, Statements.ALL)
    assert all_of_them is not None
    check(all_of_them)
    assert short(all_of_them) == ("Datastore Activity", "Read", "Success")
    assert event(replace(CHANGE, stage=ChangeStage.ASKED)) is None


def test_hostile_text_stays_in_its_place_and_in_bounds() -> None:
    """Newlines, escapes and a megabyte: one line of JSON that says the same, cut."""
    body = ActionRefused(
        1, "x" * 1_000_000, HOSTILE, (f"delete {HOSTILE}",) * 1000, "policy", "m" * 1_000_000, ("r",) * 1000
    )
    found = event(body, principal=f"ci:{HOSTILE}{'y' * 1_000_000}")
    assert found is not None
    check(found)
    raw = msgspec.json.encode(found)
    assert b"\n" not in raw
    assert b"\x1b" not in raw
    assert len(raw) < 100_000
    assert json.loads(raw) == found
    assert len(found["query_info"]["query_string"]) == MAX_STATEMENT
    assert len(found["actor"]["user"]["name"]) == MAX_TEXT + 1
    assert found["actor"]["user"]["name"].startswith(HOSTILE)
