"""W3C Trace Context (https://www.w3.org/TR/trace-context/) of a client: read strictly, believed for nothing else.

A client may write what it likes. What has exactly the form of version 00 becomes the parent of a span; anything else is
as if it was not there.
"""

import re
from typing import Final

_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
#: In a comment of sqlcommenter (https://google.github.io/sqlcommenter/spec/).
_COMMENTED: Final = re.compile(r"(?:\A|,)\s*traceparent='([^',]{55})'\s*(?=,|\Z)")
#: Characters at the end of a statement that may hold the comment.
_TAIL: Final = 2048


def traceparent(text: str) -> str:
    """The text, if it is one; else ""."""
    return text if len(text) == 55 and _TRACEPARENT.fullmatch(text) else ""


def commented(statement: str) -> str:
    """The traceparent in the comment that ends a statement; "" where there is none."""
    tail = statement[-_TAIL:].rstrip("; \t\r\n")
    if not tail.endswith("*/"):
        return ""
    found = _COMMENTED.search(tail[tail.rfind("/*") + 2 : -2].strip())
    return traceparent(found[1]) if found else ""
