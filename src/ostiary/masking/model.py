"""What a configuration says about masking: classes of data, what becomes of each, which detectors run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ostiary.core import Secret
from ostiary.core.naming import lineage


class Transform(StrEnum):
    """What becomes of a value. Members stand in order of strength, weakest first."""

    #: Leave it, detectors included.
    KEEP = "keep"
    #: Show a few characters, by format; see docs/masking.md for how many.
    PARTIAL = "partial"
    #: Keyed HMAC-SHA256, 128 bits as 32 letters: equal values of one target stay equal.
    HASH = "hash"
    #: `[redacted]`; null where the type is not text.
    REDACT = "redact"
    NULL = "null"


STRENGTH = {transform: rank for rank, transform in enumerate(Transform)}


class Detector(StrEnum):
    """What is looked for in values that no class masks."""

    PRIVATE_KEY = "private-key"
    JWT = "jwt"
    AWS_SECRET_KEY = "aws-secret-key"  # noqa: S105 - the name of a detector
    AWS_ACCESS_KEY = "aws-access-key"
    IBAN = "iban"
    CARD = "card"
    EMAIL = "email"
    PHONE = "phone"


@dataclass(frozen=True, slots=True)
class Classification:
    """One object and its class: `Classification("orders", "public.customers.email", "pii.email")`.

    `object` is spelled as the server spells it, case included, and may be a column, a relation or a schema.
    """

    target: str
    object: str
    data_class: str


@dataclass(frozen=True, slots=True)
class ClassRule:
    """What becomes of a class's values."""

    transform: Transform
    #: Values of this class are never numbers, dates or booleans: bind values of those types need not be hidden.
    text_only: bool = False


@dataclass(frozen=True, slots=True)
class Detection:
    """Detectors of a target and what each does to what it finds. A detector that is not listed is off."""

    transforms: Mapping[Detector, Transform] = field(
        default_factory=lambda: {
            Detector.PRIVATE_KEY: Transform.REDACT,
            Detector.JWT: Transform.REDACT,
            Detector.AWS_SECRET_KEY: Transform.REDACT,
            Detector.AWS_ACCESS_KEY: Transform.REDACT,
            Detector.IBAN: Transform.PARTIAL,
            Detector.CARD: Transform.PARTIAL,
            Detector.EMAIL: Transform.PARTIAL,
            Detector.PHONE: Transform.PARTIAL,
        }
    )


@dataclass(frozen=True, slots=True)
class MaskingConfig:
    """Everything about masking; frozen."""

    classification: tuple[Classification, ...] = ()
    #: Class → rule. A class without one is redacted.
    rules: Mapping[str, ClassRule] = field(default_factory=dict)
    #: Target → detectors; other targets use `default_detection`.
    detection: Mapping[str, Detection] = field(default_factory=dict)
    default_detection: Detection = Detection()
    #: Key of `hash`; each target's own key is derived from it (HKDF, RFC 5869).
    key: Secret | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what would not do what it says."""
        used: Iterable[Transform] = [rule.transform for rule in self.rules.values()]
        for detection in (self.default_detection, *self.detection.values()):
            used = (*used, *detection.transforms.values())
        if Transform.HASH in used and (self.key is None or len(self.key) < 16):
            raise ValueError("masking: `hash` needs a key of at least 16 bytes; set server.masking_key to a secret")
        for entry in self.classification:
            if not entry.data_class:
                raise ValueError(f'masking: "{entry.object}" of target "{entry.target}" is classified without a class')
            try:
                lineage(entry.object)
            except ValueError as error:
                raise ValueError(f'masking: object "{entry.object}" of target "{entry.target}": {error}') from None
