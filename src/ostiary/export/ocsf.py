"""Records as events of the Open Cybersecurity Schema Framework, https://schema.ocsf.io/1.3.0.

| Record | Class | Activity |
|---|---|---|
| a credential was lent: the session is open | Authentication 3002 | Logon, success |
| a session ended that was refused | Authentication 3002 | Logon, failure |
| a session ended | Authentication 3002 | Logoff |
| a statement | Datastore Activity 6005 | Read, Update, Create, Delete, Query or Other, by its first operation |
| somebody signed in, a client was given a login | Authentication 3002 | Logon, success |
| a sign-in was refused, a code or refresh token came twice | Authentication 3002 | Logon, failure |
| somebody signed out; decided on a device that waits | Authentication 3002 | Logoff; Other |
| the token endpoint issued, refused, revoked a token | Authentication 3002 | Other, success or failure |
| the local administrator got new credentials | Account Change 3001 | Password Change |
| a change of a service account | Account Change 3001 | Create, Enable, Disable, Delete or Other |
| any other change, decisions on requests among them | Entity Management 3004 | Create, Update, Delete |

`metadata.uid` is the session (or audit log) and the number of the record in it: the same whenever the event is told
again. Texts are as they were recorded, cut to a bound. JSON escapes what could do harm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ostiary import __version__
from ostiary.core import (
    ActionHeld,
    ActionRefused,
    IntentRecorded,
    LeaseIssued,
    SessionEnded,
    SessionStarted,
)
from ostiary.export.config import Statements
from ostiary.recording import AccessToken, Change, ChangeStage, Entry, SignIn, SignInEvent, TokenEvent

OCSF_VERSION: Final = "1.3.0"
#: Characters of a statement, and of any other text.
MAX_STATEMENT: Final = 8192
MAX_TEXT: Final = 1024
#: Objects of a statement, groups of a principal.
MAX_ITEMS: Final = 32

_INFORMATIONAL, _LOW, _MEDIUM = (1, "Informational"), (2, "Low"), (3, "Medium")
_SUCCESS, _FAILURE, _OTHER_STATUS = (1, "Success"), (2, "Failure"), (99, "Other")
_CLASSES: Final[Mapping[int, str]] = {
    3001: "Account Change",
    3002: "Authentication",
    3004: "Entity Management",
    6005: "Datastore Activity",
}
_CATEGORIES: Final[Mapping[int, str]] = {3: "Identity & Access Management", 6: "Application Activity"}
#: Operation → activity of 6005.
_DATASTORE: Final[Mapping[str, tuple[int, str]]] = {
    "read": (1, "Read"),
    "update": (2, "Update"),
    "insert": (6, "Create"),
    "delete": (7, "Delete"),
}
_ACCOUNT: Final[Mapping[str, tuple[int, str]]] = {
    "create": (1, "Create"),
    "enable": (2, "Enable"),
    "disable": (5, "Disable"),
    "delete": (6, "Delete"),
}
_REFUSED: Final = "refused"
#: Activity, and whether they got what they wanted.
_SIGN_INS: Final[Mapping[SignInEvent, tuple[tuple[int, str], bool]]] = {
    SignInEvent.SIGNED_IN: ((1, "Logon"), True),
    SignInEvent.GRANTED: ((1, "Logon"), True),
    SignInEvent.REFUSED: ((1, "Logon"), False),
    SignInEvent.REUSED: ((1, "Logon"), False),
    SignInEvent.SIGNED_OUT: ((2, "Logoff"), True),
    SignInEvent.CONFIRMED: ((99, "Other"), True),
    SignInEvent.DENIED: ((99, "Other"), False),
    SignInEvent.SET_UP: ((3, "Password Change"), True),
}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a record is read from."""

    #: Session id, or name of the audit log.
    name: str
    #: The session's first record; None in an audit log.
    started: SessionStarted | None
    #: Unix seconds of it.
    time: float = 0.0


class Events:
    """A `Teller` of OCSF events."""

    kinds: Final = frozenset(
        {"lease_issued", "refused", "held", "intent", "session_ended", "change", "sign_in", "token"}
    )
    remembers: Final = False

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def told(self, entry: Entry, origin: Origin) -> Sequence[bytes]:
        """As `event_of`."""
        event = event_of(entry, origin, self._statements)
        return () if event is None else (msgspec.json.encode(event),)

    def forget(self, origin: Origin) -> None:
        """Nothing is kept."""


def event_of(entry: Entry, origin: Origin, statements: Statements) -> dict[str, Any] | None:
    """The event; None where there is none to tell."""
    body, started = entry.body, origin.started
    match body:
        case Change():
            return None if body.stage is ChangeStage.ASKED else _change(entry, origin, body)
        case SignIn():
            return _sign_in(entry, origin, body)
        case AccessToken():
            return _token(entry, origin, body)
        case LeaseIssued() if started is not None:
            return _logon(entry, origin, started, (1, "Logon"), _SUCCESS, _INFORMATIONAL, "session opened")
        case SessionEnded() if started is not None:
            refused = body.reason.startswith(_REFUSED) and body.actions == 0 and body.credential == "none was lent"
            activity = (1, "Logon") if refused else (2, "Logoff")
            status, severity = (_FAILURE, _MEDIUM) if refused else (_SUCCESS, _INFORMATIONAL)
            return _logon(entry, origin, started, activity, status, severity, body.reason)
        case ActionRefused() if started is not None:
            return _statement(entry, origin, started, body, _FAILURE, _MEDIUM, body.message)
        case ActionHeld() if started is not None:
            waits = f"held for approval by {', '.join(body.groups)}: request {body.approval_id}"
            return _statement(entry, origin, started, body, _OTHER_STATUS, _LOW, waits)
        case IntentRecorded() if started is not None and (body.approval_id or statements is Statements.ALL):
            by = f"approved by {', '.join(body.approved_by)}: request {body.approval_id}" if body.approval_id else ""
            return _statement(entry, origin, started, body, _SUCCESS, _INFORMATIONAL, by or body.summary)
        case _:
            return None


def _base(
    entry: Entry,
    origin: Origin,
    class_uid: int,
    activity: tuple[int, str],
    status: tuple[int, str],
    severity: tuple[int, str],
    message: str,
) -> dict[str, Any]:
    return {
        "metadata": {
            "version": OCSF_VERSION,
            "product": {"name": "Ostiary", "vendor_name": "Ostiary", "version": __version__},
            "uid": f"{origin.name}:{entry.seq}",
            "event_code": entry.kind,
            "log_name": "audit" if origin.started is None else "session",
            "sequence": entry.seq,
        },
        "time": round(entry.time * 1000),
        "category_uid": class_uid // 1000,
        "category_name": _CATEGORIES[class_uid // 1000],
        "class_uid": class_uid,
        "class_name": _CLASSES[class_uid],
        "activity_id": activity[0],
        "activity_name": activity[1],
        "type_uid": class_uid * 100 + activity[0],
        "type_name": f"{_CLASSES[class_uid]}: {activity[1]}",
        "severity_id": severity[0],
        "severity": severity[1],
        "status_id": status[0],
        "status": status[1],
        "message": _text(message),
    }


def _logon(
    entry: Entry,
    origin: Origin,
    started: SessionStarted,
    activity: tuple[int, str],
    status: tuple[int, str],
    severity: tuple[int, str],
    message: str,
) -> dict[str, Any]:
    return {
        **_base(entry, origin, 3002, activity, status, severity, message),
        "user": _session_user(started),
        "session": {"uid": started.session_id, "issuer": _text(started.issuer)},
        "service": {"name": _text(started.target)},
        "src_endpoint": _endpoint(started.source),
        "is_remote": True,
        "unmapped": {"protocol": started.protocol, "rules": _list(started.rules), "proof": _text(started.proof_id)},
    }


def _statement(
    entry: Entry,
    origin: Origin,
    started: SessionStarted,
    body: ActionRefused | ActionHeld | IntentRecorded,
    status: tuple[int, str],
    severity: tuple[int, str],
    message: str,
) -> dict[str, Any]:
    accesses = () if isinstance(body, ActionHeld) else body.accesses
    activity = _DATASTORE.get(accesses[0].partition(" ")[0], (99, "Other")) if accesses else (4, "Query")
    return {
        **_base(entry, origin, 6005, activity, status, severity, message),
        "actor": {
            "user": _session_user(started),
            "session": {"uid": started.session_id, "issuer": _text(started.issuer)},
        },
        "src_endpoint": _endpoint(started.source),
        "dst_endpoint": {"name": _text(started.target), "svc_name": started.protocol},
        "database": {"name": _text(started.target), "type_id": 99, "type": started.protocol},
        "type_id": 1,
        "type": "Database",
        "query_info": {"query_string": body.text[:MAX_STATEMENT], "uid": str(body.action_id)},
        "unmapped": {"accesses": _list(accesses), "rules": _list(body.rules)},
    }


def _change(entry: Entry, origin: Origin, body: Change) -> dict[str, Any]:
    made = body.stage is ChangeStage.DONE
    status, severity = (_SUCCESS, _INFORMATIONAL) if made else (_FAILURE, _MEDIUM)
    actor = {"user": _user(body.by)}
    source = _endpoint(body.source)
    message = f"{body.action} {body.resource}: {body.reason}" if body.reason else f"{body.action} {body.resource}"
    kind, _, name = body.resource.partition("/")
    if kind == "service-accounts":
        activity = _ACCOUNT.get(body.reason, (99, "Other"))
        base = _base(entry, origin, 3001, activity, status, severity, message)
        return {**base, "actor": actor, "src_endpoint": source, "user": {"name": _text(name), "type_id": 4}}
    activity = (1, "Create") if not body.before else (4, "Delete") if not body.after else (3, "Update")
    entity = {"name": _text(name or kind), "uid": _text(body.resource), "type": _text(kind)}
    return {
        **_base(entry, origin, 3004, activity, status, severity, message),
        "actor": actor,
        "src_endpoint": source,
        "comment": _text(body.reason),
        "entity": entity,
        "unmapped": {"rules": _list(body.rules), "change": body.change_id},
    }


def _sign_in(entry: Entry, origin: Origin, body: SignIn) -> dict[str, Any]:
    activity, made = _SIGN_INS[body.event]
    status, severity = (_SUCCESS, _INFORMATIONAL) if made else (_FAILURE, _MEDIUM)
    message = f"{body.event.value}: {body.reason}" if body.reason else body.event.value
    class_uid = 3001 if body.event is SignInEvent.SET_UP else 3002
    event = {
        **_base(entry, origin, class_uid, activity, status, severity, message),
        "user": _user(body.by) if body.by else {"name": "unknown", "type_id": 0},
        "src_endpoint": _endpoint(body.source),
        "unmapped": {"way": _text(body.way), "client": _text(body.client)},
    }
    if class_uid == 3002:
        event |= {"service": {"name": "Ostiary"}, "session": {"uid": _text(body.login_id)}, "is_remote": True}
    return event


def _token(entry: Entry, origin: Origin, body: AccessToken) -> dict[str, Any]:
    refused = body.event is TokenEvent.REFUSED
    status, severity = (_FAILURE, _MEDIUM) if refused else (_SUCCESS, _INFORMATIONAL)
    message = f"token {body.event.value}: {body.reason}" if body.reason else f"token {body.event.value}"
    return {
        **_base(entry, origin, 3002, (99, "Other"), status, severity, message),
        "user": _user(body.principal) if body.principal else {"name": "unknown", "type_id": 0},
        "src_endpoint": _endpoint(body.source),
        "service": {"name": "Ostiary"},
        "session": {"uid": _text(body.jti)},
        "is_remote": True,
        "unmapped": {
            "client": _text(body.client),
            "grant": _text(body.grant),
            "targets": _list(body.targets),
            "expires_at": round(body.expires_at * 1000),
        },
    }


def _session_user(started: SessionStarted) -> dict[str, Any]:
    kind = {"human": (1, "User"), "workload": (4, "Service")}.get(started.principal_kind, (0, "Unknown"))
    groups = [{"name": each} for each in _list(started.groups)]
    return {**_user(started.principal), "type_id": kind[0], "type": kind[1], "groups": groups}


def _user(principal: str) -> dict[str, Any]:
    issuer, _, subject = principal.partition(":")
    return {"uid": _text(principal), "name": _text(subject or principal), "domain": _text(issuer)}


def _endpoint(source: str) -> dict[str, Any]:
    host, _, port = source.rpartition(":")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0
    return {"ip": _text(host or source), "port": number}


def _list(values: tuple[str, ...]) -> list[str]:
    return [_text(value) for value in values[:MAX_ITEMS]]


def _text(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
