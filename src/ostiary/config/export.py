"""`export:`, sink by sink."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ostiary.config.values import Address, Hidden, Name, Section, is_loopback, remote
from ostiary.export.config import (
    Common,
    FileSettings,
    OnFull,
    OtlpSettings,
    Statements,
    SyslogSettings,
    WebhookSettings,
)

_MIB = 1024 * 1024


class _Sink(Section):
    """What every sink has."""

    name: Name
    statements: Annotated[Statements, Field(strict=False)] = Statements.NOTABLE
    max_backlog: Annotated[int, Field(ge=_MIB)] = 1024 * _MIB
    on_full: Annotated[OnFull, Field(strict=False)] = OnFull.DROP

    @property
    def common(self) -> Common:
        """As the exporter takes it."""
        return Common(self.name, self.statements, self.max_backlog, self.on_full)


class FileSink(_Sink):
    """`type: file`."""

    type: Literal["file"]
    path: str
    max_bytes: Annotated[int, Field(ge=_MIB)] = 100 * _MIB
    keep: Annotated[int, Field(ge=0, le=1000)] = 10
    fsync: bool = False

    def made(self, base: Path) -> FileSettings:
        """As the exporter takes it."""
        return FileSettings(self.common, base / self.path, self.max_bytes, self.keep, self.fsync)


class SyslogSink(_Sink):
    """`type: syslog`."""

    type: Literal["syslog"]
    address: Annotated[Address, AfterValidator(remote)]
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("a client certificate and its key go together: give `cert` and `key`")
        return self

    def made(self, base: Path) -> SyslogSettings:
        """As the exporter takes it."""
        ca, cert, key = (None if each is None else base / each for each in (self.ca, self.cert, self.key))
        return SyslogSettings(self.common, *self.address, ca, cert, key)


class WebhookSink(_Sink):
    """`type: webhook`."""

    type: Literal["webhook"]
    url: str
    secret: Hidden
    ca: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            parts = urlsplit(self.url)
            fits = parts.scheme == "https" and parts.hostname and parts.username is None and not parts.fragment
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("url: write https://HOST/PATH, without a password: the signature says who sends")
        return self

    def made(self, base: Path) -> WebhookSettings:
        """As the exporter takes it."""
        return WebhookSettings(
            self.common, self.url, self.secret.source(base), None if self.ca is None else base / self.ca
        )


class OtlpSink(_Sink):
    """`type: otlp`."""

    type: Literal["otlp"]
    endpoint: str
    sample: Annotated[float, Field(ge=0.0, le=1.0, strict=False)] = 1.0
    ca: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            parts = urlsplit(self.endpoint)
            inside = parts.scheme == "http" and is_loopback(parts.hostname or "")
            fits = (parts.scheme == "https" or inside) and parts.hostname and parts.username is None
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("endpoint: write https://HOST/v1/traces; plain http is for a collector on loopback")
        return self

    def made(self, base: Path) -> OtlpSettings:
        """As the exporter takes it."""
        return OtlpSettings(self.common, self.endpoint, self.sample, None if self.ca is None else base / self.ca)


Sink = Annotated[FileSink | SyslogSink | WebhookSink | OtlpSink, Field(discriminator="type")]
