"""Spans by OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/), with the exporter of the SDK: extra `otel`."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ostiary import __version__
from ostiary.export.config import OtlpSettings
from ostiary.export.spans import Span

#: Seconds for one delivery, attempts of the SDK's among them.
_SECONDS: Final = 10.0
_decode: Final = msgspec.json.Decoder(Span).decode


class OtlpSink:
    """One collector."""

    def __init__(self, settings: OtlpSettings) -> None:
        ca = None if settings.ca is None else str(settings.ca)
        self._exporter = OTLPSpanExporter(settings.endpoint, certificate_file=ca, timeout=_SECONDS)
        self._resource = Resource({"service.name": "ostiary", "service.version": __version__})
        self._scope = InstrumentationScope("ostiary", __version__)

    async def deliver(self, events: Sequence[bytes]) -> None:
        """Raises OSError when the collector did not take them."""
        spans = [self._span(_decode(event)) for event in events]
        # The SDK waits in the thread it is called in.
        if await asyncio.to_thread(self._exporter.export, spans) is not SpanExportResult.SUCCESS:
            raise OSError("the collector did not take them")

    async def close(self) -> None:
        """Never raises."""
        await asyncio.to_thread(self._exporter.shutdown)

    def _span(self, span: Span) -> ReadableSpan:
        statement = "db.operation.name" in span.attributes
        return ReadableSpan(
            span.name,
            context=_context(span.trace, span.span),
            parent=_context(span.trace, span.parent) if span.parent else None,
            resource=self._resource,
            attributes=span.attributes,
            links=[Link(_context(*span.link))] if span.link[0] else [],
            kind=SpanKind.CLIENT if statement else SpanKind.SERVER,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=self._scope,
        )


def _context(trace: str, span: str) -> SpanContext:
    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
