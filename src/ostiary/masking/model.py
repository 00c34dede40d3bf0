"""What a configuration says about masking: classes of data, what becomes of each, which detectors run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ostiary.core import Secret
from ostiary.core.naming import lineage


class Transform(StrEnum):
    """What becomes of a value. Members stand in order of strength, weakest first; docs/masking.md says why."""

    #: Leave it, detectors included.
    KEEP = "keep"
    #: Dates and timestamps, all of a class moved by the same unknown number of days.
    DATE_SHIFT = "date-shift"
    #: The month, year or decade, the bucket, the first characters, the network.
    GENERALISE = "generalise"
    #: Show a few characters, by format; see docs/masking.md for how many.
    PARTIAL = "partial"
    #: FF1: letters stay letters, digits stay digits, everything else stays.
    FORMAT_PRESERVING = "format-preserving"
    #: Deterministic authenticated encryption, one key a class; `reveal` gives the value back.
    TOKEN = "token"  # noqa: S105 - the name of a transform
    #: Keyed HMAC-SHA256, 128 bits as 32 letters: equal values of one target stay equal.
    HASH = "hash"
    #: `[redacted]`; null where the type is not text.
    REDACT = "redact"
    NULL = "null"


#: Each class has a key of its own.
_BY_CLASS = frozenset({Transform.DATE_SHIFT, Transform.FORMAT_PRESERVING, Transform.TOKEN})
_MAX_DAYS = 3650
_MAX_FIRST = 64
STRENGTH = {transform: rank for rank, transform in enumerate(Transform)}
#: What needs a key.
KEYED = frozenset({Transform.DATE_SHIFT, Transform.FORMAT_PRESERVING, Transform.TOKEN, Transform.HASH})
#: What detectors may do to a piece of a text.
OF_FINDS = frozenset({Transform.KEEP, Transform.PARTIAL, Transform.HASH, Transform.REDACT, Transform.NULL})


class Precision(StrEnum):
    """What of a date `generalise` keeps."""

    MONTH = "month"
    YEAR = "year"
    DECADE = "decade"


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
    #: `date-shift`: the most days, either way.
    days: int = 30
    #: `generalise`, of dates and timestamps.
    to: Precision = Precision.YEAR
    #: `generalise`, of numbers: the size of a bucket. None: they are nulled.
    step: int | None = None
    #: `generalise`, of texts: how many characters stay. None: they are redacted.
    first: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a setting that is out of range or not this transform's."""
        shifts, coarsens = self.transform is Transform.DATE_SHIFT, self.transform is Transform.GENERALISE
        if not 1 <= self.days <= _MAX_DAYS:
            raise ValueError(f"days: must be from 1 to {_MAX_DAYS}")
        if self.step is not None and self.step < 2:
            raise ValueError("step: must be a whole number of 2 or more")
        if self.first is not None and not 1 <= self.first <= _MAX_FIRST:
            raise ValueError(f"first: must be from 1 to {_MAX_FIRST}")
        if self.days != 30 and not shifts:
            raise ValueError(f"days: is a setting of `date-shift`, not of `{self.transform}`")
        if (self.to is not Precision.YEAR or self.step is not None or self.first is not None) and not coarsens:
            raise ValueError(f"to, step, first: are settings of `generalise`, not of `{self.transform}`")

    def alike(self, other: "ClassRule") -> bool:
        """Both do the very same to a value, whichever class it is of."""
        return (
            self.transform is other.transform
            and self.transform not in _BY_CLASS
            and (self.to, self.step, self.first) == (other.to, other.step, other.first)
        )


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
    #: Key of what is `KEYED`; each target's and class's own keys are derived from it (HKDF, RFC 5869).
    key: Secret | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what would not do what it says."""
        finds = {t for each in (self.default_detection, *self.detection.values()) for t in each.transforms.values()}
        if not finds <= OF_FINDS:
            raise ValueError(f"masking: detectors can't `{min(finds - OF_FINDS)}` what they find")
        keyed = KEYED & (finds | {rule.transform for rule in self.rules.values()})
        if keyed and (self.key is None or len(self.key) < 16):
            raise ValueError(
                f"masking: `{min(keyed)}` needs a key of at least 16 bytes; set server.masking_key to a secret"
            )
        for entry in self.classification:
            if not entry.data_class:
                raise ValueError(f'masking: "{entry.object}" of target "{entry.target}" is classified without a class')
            try:
                lineage(entry.object)
            except ValueError as error:
                raise ValueError(f'masking: object "{entry.object}" of target "{entry.target}": {error}') from None
