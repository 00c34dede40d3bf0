"""The export of audit events, where it is configured: who runs it, and who heeds that it is full."""

from pathlib import Path
from typing import TYPE_CHECKING

from ostiary.config import Settings
from ostiary.export import OnFull
from ostiary.gate.ports import Recording
from ostiary.telemetry import Meter

if TYPE_CHECKING:
    from ostiary.export.exporter import Exporter


def exporter_of(settings: Settings, meter: Meter) -> "Exporter | None":
    """For one process of the gateway. None: nothing is exported. Raises OSError, ValueError, SecretUnavailable."""
    if not settings.export:
        return None
    from ostiary.export.exporter import Exporter

    return Exporter(settings.export, settings.recordings, _directory(settings), meter)


def stopping(settings: Settings, recording: Recording) -> Recording:
    """For every process: recordings that are not begun while a sink that refuses is full."""
    strict = [sink.common.name for sink in settings.export if sink.common.on_full is OnFull.REFUSE]
    if not strict:
        return recording
    from ostiary.export.exporter import StopsWhenFull, flag_of

    return StopsWhenFull(recording, tuple((name, flag_of(_directory(settings), name)) for name in strict))


def _directory(settings: Settings) -> Path:
    return settings.recording_key.parent / "export"
