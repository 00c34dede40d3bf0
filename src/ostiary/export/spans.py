"""Records as spans of OpenTelemetry: one a session, one a statement.

Everything that a span needs is recorded anyway: when a statement was held, let through and over, and what came of it.
So sessions pay nothing for being traced. Ids are digests of what the span is of: one that is sent again is the same.

A session's trace is the one its `application_name` names, a statement's the one of its sqlcommenter comment, or else
the session's. No statement and no value is in a span.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from ostiary.core import ActionFinished, ActionHeld, ActionRefused, IntentRecorded, SessionEnded, SessionStarted
from ostiary.core.trace import commented, traceparent
from ostiary.export.ocsf import Origin
from ostiary.recording import Entry

#: Statements of a session that have begun and not ended: the oldest of more are forgotten.
MAX_OPEN: Final = 1000
MAX_TEXT: Final = 256
MAX_ITEMS: Final = 16

Value = str | int | float | bool | list[str]


class Span(msgspec.Struct):
    """One, as it goes through the queue. Ids are lower-case hex, times Unix nanoseconds."""

    trace: str
    span: str
    #: Span id, "" at the root of a trace.
    parent: str
    #: The session's trace and span, where a statement is in another trace.
    link: tuple[str, str]
    name: str
    start: int
    end: int
    attributes: dict[str, Value]
    #: Why it failed; "" where it did not.
    error: str = ""
    #: What the caller whose trace it is has decided; None where the trace begins here.
    sampled: bool | None = None


@dataclass(slots=True)
class _Open:
    started: float
    held: float = 0.0
    intent: IntentRecorded | None = None


class Spans:
    """A `Teller`. `sample`: part of the traces that begin here."""

    kinds: Final = frozenset({"intent", "refused", "held", "finished", "session_ended"})
    remembers: Final = True

    def __init__(self, sample: float) -> None:
        self._sample = sample
        #: Session → its statements that are not over.
        self._open: dict[str, dict[int, _Open]] = {}

    def told(self, entry: Entry, origin: Origin) -> Sequence[bytes]:
        """Spans that are over."""
        started = origin.started
        if started is None or traceparent(started.trace) != started.trace:
            return ()
        span = self._span(entry, origin, started)
        return () if span is None or not self._wanted(span) else (msgspec.json.encode(span),)

    def forget(self, origin: Origin) -> None:
        """The session is over."""
        self._open.pop(origin.name, None)

    def _span(self, entry: Entry, origin: Origin, started: SessionStarted) -> Span | None:
        running = self._open.setdefault(origin.name, {})
        body = entry.body
        match body:
            case ActionHeld():
                _begin(running, body.action_id, _Open(entry.time, held=entry.time))
            case IntentRecorded():
                before = running.pop(body.action_id, None)
                held = before.held if before is not None else 0.0
                _begin(running, body.action_id, _Open(held or entry.time, entry.time - held if held else 0.0, body))
            case ActionFinished():
                known = running.pop(body.action_id, None)
                if known is not None and known.intent is not None:
                    return _finished(entry, origin, started, known, known.intent, body)
            case ActionRefused():
                known = running.pop(body.action_id, None)
                begun = known.started if known is not None else entry.time
                return _refused(entry, origin, started, begun, body)
            case SessionEnded():
                return _session(entry, origin, started, body)
            case _:
                pass
        return None

    def _wanted(self, span: Span) -> bool:
        """Of traces that begin here the same part in every span of one."""
        return int(span.trace[:8], 16) < self._sample * 0x1_0000_0000 if span.sampled is None else span.sampled


def _session(entry: Entry, origin: Origin, started: SessionStarted, body: SessionEnded) -> Span:
    refused = body.reason.startswith("refused")
    attributes = {
        **_common(started),
        "ostiary.session.reason": body.reason[:MAX_TEXT],
        "ostiary.session.statements": body.actions,
        "ostiary.session.refused": body.refused,
    }
    trace, span = _session_ids(started)
    return Span(
        trace,
        span,
        started.trace[36:52],
        ("", ""),
        f"session {started.target}",
        _ns(origin.time),
        _ns(entry.time),
        attributes,
        "refused" if refused else "",
        _sampled(started.trace),
    )


def _finished(
    entry: Entry, origin: Origin, started: SessionStarted, known: _Open, intent: IntentRecorded, body: ActionFinished
) -> Span:
    attributes = {
        **_common(started),
        **_accesses(intent.accesses),
        "ostiary.verdict": intent.verdict,
        "ostiary.rules": _list(intent.rules),
        "ostiary.upstream_ms": round((entry.time - known.started - known.held) * 1000, 3),
        "db.response.returned_rows": body.rows,
    }
    if intent.approval_id:
        attributes |= {"ostiary.approval": intent.approval_id, "ostiary.approval_wait_ms": round(known.held * 1000, 3)}
    if body.status == "error":
        attributes["db.response.status_code"] = body.tag[:MAX_TEXT]
    error = "" if body.status == "ok" else body.status
    return _statement(entry, origin, started, known.started, intent, attributes, error)


def _refused(entry: Entry, origin: Origin, started: SessionStarted, begun: float, body: ActionRefused) -> Span:
    attributes = {
        **_common(started),
        **_accesses(body.accesses),
        "ostiary.verdict": "deny",
        "ostiary.rules": _list(body.rules),
        "error.type": f"refused.{body.kind}",
    }
    return _statement(entry, origin, started, begun, body, attributes, f"refused: {body.kind}")


def _statement(
    entry: Entry,
    origin: Origin,
    started: SessionStarted,
    begun: float,
    body: IntentRecorded | ActionRefused,
    attributes: dict[str, Value],
    error: str,
) -> Span:
    trace, session = _session_ids(started)
    parent, link, sampled = session, ("", ""), _sampled(started.trace)
    caller = commented(body.text)
    if caller:
        sampled = _sampled(caller)
        trace, parent, link = caller[3:35], caller[36:52], (trace, session)
    name = " ".join(filter(None, (str(attributes.get("db.operation.name", "")), started.target)))
    span = _digest(f"{origin.name}/{body.action_id}")[:16]
    return Span(trace, span, parent, link, name, _ns(begun), _ns(entry.time), attributes, error, sampled)


def _common(started: SessionStarted) -> dict[str, Value]:
    """Semantic conventions for databases, https://opentelemetry.io/docs/specs/semconv/database/."""
    return {
        "db.system.name": "postgresql" if started.protocol == "postgres" else started.protocol[:MAX_TEXT],
        "enduser.id": started.principal[:MAX_TEXT],
        "client.address": started.source.rpartition(":")[0][:MAX_TEXT],
        "ostiary.session": started.session_id,
        "ostiary.target": started.target[:MAX_TEXT],
    }


def _accesses(accesses: tuple[str, ...]) -> dict[str, Value]:
    operation, _, name = accesses[0].partition(" ") if accesses else ("", "", "")
    return {
        "db.operation.name": operation[:MAX_TEXT],
        "db.collection.name": name[:MAX_TEXT],
        "ostiary.accesses": _list(accesses),
    }


def _session_ids(started: SessionStarted) -> tuple[str, str]:
    digest = _digest(started.session_id)
    return started.trace[3:35] or digest[:32], digest[32:48]


def _sampled(caller: str) -> bool | None:
    """The flag of a traceparent."""
    return int(caller[53:], 16) & 1 == 1 if caller else None


def _digest(name: str) -> str:
    return hashlib.sha256(f"ostiary-span\n{name}".encode()).hexdigest()


def _begin(running: dict[int, _Open], action_id: int, opened: _Open) -> None:
    if len(running) >= MAX_OPEN:
        del running[next(iter(running))]
    running[action_id] = opened


def _list(values: tuple[str, ...]) -> list[str]:
    return [value[:MAX_TEXT] for value in values[:MAX_ITEMS]]


def _ns(seconds: float) -> int:
    return round(seconds * 1_000_000) * 1000
