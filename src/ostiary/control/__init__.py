"""Use-cases that the CLI shows now, and the API and the UI later. Nothing here knows how anything is shown."""

from ostiary.control.operations import Operations, TargetView

__all__ = ["Operations", "TargetView"]
