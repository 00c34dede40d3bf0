"""Masking: classified columns and whatever detectors find leave the gateway changed, or not at all."""

from ostiary.masking.masking import ColumnMasking
from ostiary.masking.model import (
    KEYED,
    OF_FINDS,
    Classification,
    ClassRule,
    Detection,
    Detector,
    MaskingConfig,
    Precision,
    Transform,
)

__all__ = [
    "KEYED",
    "OF_FINDS",
    "ClassRule",
    "Classification",
    "ColumnMasking",
    "Detection",
    "Detector",
    "MaskingConfig",
    "Precision",
    "Transform",
]
