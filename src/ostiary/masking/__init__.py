"""Masking: classified columns and whatever detectors find leave the gateway changed, or not at all."""

from ostiary.masking.masking import ColumnMasking
from ostiary.masking.model import Classification, ClassRule, Detection, Detector, MaskingConfig, Transform

__all__ = [
    "ClassRule",
    "Classification",
    "ColumnMasking",
    "Detection",
    "Detector",
    "MaskingConfig",
    "Transform",
]
