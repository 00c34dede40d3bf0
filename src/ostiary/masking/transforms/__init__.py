"""What becomes of values: partial, dates, buckets, keyed ones; `target` puts them to work on columns."""

from ostiary.masking.transforms.partial import MAX_PARTIAL, REDACTED, partial
from ostiary.masking.transforms.target import Cells, Replacer, Transforms, transcoded

__all__ = ["MAX_PARTIAL", "REDACTED", "Cells", "Replacer", "Transforms", "partial", "transcoded"]
