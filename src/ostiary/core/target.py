"""What is being reached."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ostiary.core.secret import Secret


class TlsMode(StrEnum):
    """How the upstream leg is protected; meanings as libpq's `sslmode`."""

    DISABLE = "disable"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class RecordingLevel(StrEnum):
    """How much of a (masked) result a recording keeps."""

    SAMPLE = "sample"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS towards a target. Paths are file names; the key is read by the runtime only. `ca` may be PEM text instead."""

    mode: TlsMode = TlsMode.VERIFY_FULL
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One declared target, as policy, credentials and the runtime see it."""

    name: str
    #: Key of the protocol registry: "postgres".
    protocol: str
    host: str
    port: int
    #: Name of the database (or vhost, …) at the target when the client names none.
    database: str
    #: `labels["environment"]` is the Cedar `Environment` of the target.
    labels: Mapping[str, str] = field(default_factory=dict)
    tls: TlsSettings = TlsSettings()
    recording: RecordingLevel = RecordingLevel.SAMPLE
    #: Other databases (or vhosts, …) of it that a client may name. Policy does not tell them apart.
    databases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lease:
    """A credential lent to one session."""

    lease_id: str
    username: str
    #: None where the target trusts the connection, or a client certificate speaks.
    password: Secret | None
    #: Name of the credential issuer: "static", "postgres-role".
    kind: str
    #: Unix seconds; None when the credential itself has no end.
    expires_at: float | None = None
