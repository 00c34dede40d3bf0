"""How sinks are configured."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ostiary.credentials.source import SecretSource


class Statements(StrEnum):
    """Which statements are told."""

    #: Those that were denied, held, or approved.
    NOTABLE = "notable"
    ALL = "all"


class OnFull(StrEnum):
    """What happens when a sink has more left to be given than it may."""

    #: What is oldest is not told. It stays recorded.
    DROP = "drop"
    #: No session is opened until there is room.
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Common:
    """Of every sink."""

    name: str
    statements: Statements
    #: Bytes of recordings that may be left to be read.
    max_backlog: int
    on_full: OnFull


@dataclass(frozen=True, slots=True)
class FileSettings:
    """Lines of a file that is rotated by its size."""

    common: Common
    path: Path
    max_bytes: int
    #: Files beside the present one.
    keep: int
    #: Force each batch to the disk.
    fsync: bool


@dataclass(frozen=True, slots=True)
class SyslogSettings:
    """RFC 5424 over TLS (RFC 5425)."""

    common: Common
    host: str
    port: int
    #: PEM; None: the system's authorities.
    ca: Path | None
    cert: Path | None
    key: Path | None


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Batches by HTTPS POST."""

    common: Common
    url: str
    #: Key of the signature.
    secret: SecretSource
    ca: Path | None


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """Traces by OTLP over HTTP."""

    common: Common
    endpoint: str
    #: Part of the traces that begin here, 0 to 1; a caller's own are as it says.
    sample: float
    ca: Path | None


AnySink = FileSettings | SyslogSettings | WebhookSettings | OtlpSettings
