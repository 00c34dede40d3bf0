"""Every metric by name. docs/operations.md has the same table; a test compares them.

Labels are targets, protocols, issuers and routes of the configuration and of the code, and words of closed lists: never
a principal, a session, an address or a statement.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """As Prometheus names them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(StrEnum):
    """What the numbers of several processes come to."""

    SUM = "sum"
    MAX = "max"


#: Upper bounds in seconds: of a verification or a database's answer, and of a person's.
QUICK: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
PATIENT: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. A counter's name has no `_total` here; the exposition adds it."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Merge = Merge.SUM


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(f"ostiary_{name}", Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str, merge: Merge = Merge.SUM) -> Family:
    return Family(f"ostiary_{name}", Kind.GAUGE, text, labels, merge=merge)


def _histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...] = QUICK) -> Family:
    return Family(f"ostiary_{name}", Kind.HISTOGRAM, text, labels, buckets)


BUILD = _gauge("build_info", "1, with what runs.", "version", merge=Merge.MAX)
SESSIONS = _gauge("sessions", "Sessions that live now.", "target", "protocol")
OPENED = _counter("sessions_opened", "Sessions that were opened.", "target", "protocol")
SESSIONS_REFUSED = _counter(
    "sessions_refused", "Sessions that were not opened; without a target where none was found.",
    "target", "protocol", "kind",
)  # fmt: skip
STATEMENTS = _counter(
    "statements", "Statements by verdict: allow, hold; one that was approved is counted as both.",
    "target", "protocol", "verdict",
)  # fmt: skip
STATEMENTS_REFUSED = _counter(
    "statements_refused", "Statements that did not run, whatever refused them.", "target", "protocol", "kind"
)
HELD = _gauge("statements_held", "Statements that wait for a person now.", "target", "protocol")
ROWS = _counter("rows", "Rows that statements returned or changed.", "target", "protocol")
MASKED = _counter("masked_columns", "Columns of results in which a value was masked.", "target", "protocol")
BYTES = _counter(
    "bytes", "Bytes of the protocol, without TLS; direction: to_target, to_client.", "target", "protocol", "direction"
)
APPROVAL_WAIT = _histogram(
    "approval_wait_seconds", "From a request to its decision: approved, denied, expired, withdrawn, failed.",
    "target", "result", buckets=PATIENT,
)  # fmt: skip
IDENTIFY = _histogram(
    "identify_seconds", "Verification of a proof. A refused one's issuer is the one it names, if that is configured.",
    "issuer", "result",
)  # fmt: skip
KEYS_FETCHED = _counter("key_fetches", "Fetches of an issuer's keys.", "issuer")
KEYS_FAILED = _counter("key_fetches_failed", "Those of them that failed.", "issuer")
LEASE = _histogram(
    "lease_seconds", "Lending a credential or taking it back; operation: create, revoke; result: ok, failed.",
    "target", "operation", "result",
)  # fmt: skip
LEASES = _gauge("leases", "Credentials that may exist on targets; state: intent, active, revoking.", "target", "state")
RECORDINGS = _counter("recordings", "Recordings; event: opened, sealed, unsealed.", "event")
RECORDS = _counter("recording_records", "Lines of recordings that are closed.")
POLICY_VERSION = _gauge("policy_version", "Version of the policies in force in this process.", merge=Merge.MAX)
RELOADS = _counter("reloads", "Reloads of what is configured; result: ok, failed.", "result")
REQUESTS = _histogram(
    "api_request_seconds", "Requests of the API by template of their route; none where there is no such route.",
    "method", "route", "status",
)  # fmt: skip
LAG = _histogram("event_loop_lag_seconds", "By how much a timer came late.")
EXPORT_BACKLOG = _gauge("export_backlog_bytes", "Bytes of recordings that a sink has yet to be told of.", "sink")
EXPORT_DROPPED = _counter(
    "export_dropped_bytes", "Bytes of recordings that were passed over: the sink is full.", "sink"
)
EXPORTED = _counter("export_events", "Events; result: delivered, rejected.", "sink", "result")
EXPORT_FAILED = _counter("export_failures", "Deliveries that failed and are tried again.", "sink")
SERIES_LOST = _counter("series_overflowed", "Samples that went under other because a metric had too many series.")

FAMILIES: Final[dict[str, Family]] = {
    family.name: family for family in tuple(globals().values()) if isinstance(family, Family)
}
