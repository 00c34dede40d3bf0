"""`partial`: a few characters of a text, by what it looks like. Takes linear time; docs/masking.md has the table."""

import re

REDACTED = "[redacted]"
#: Characters; a longer value is a document, and its ends say too much or nothing.
MAX_PARTIAL = 512
_SHORT = 8
_SEPARATORS = str.maketrans("", "", " -")
_PHONE_SEPARATORS = str.maketrans("", "", " -().+/")
_IBAN = re.compile(r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}", re.ASCII)


def partial(value: str) -> str:
    """Show a little of a value, by what it looks like; docs/masking.md has the table."""
    if len(value) > MAX_PARTIAL:
        return REDACTED
    at = value.rfind("@")
    if at >= 0:
        return _partial_email(value, at)
    compact = value.translate(_SEPARATORS)
    if compact.isdecimal() and 13 <= len(compact) <= 19:
        return "*" * (len(compact) - 4) + compact[-4:]
    if value[:1] == "+":
        digits = value.translate(_PHONE_SEPARATORS)
        if digits.isdecimal() and 8 <= len(digits) <= 15:
            return f"+{digits[:2]}***{digits[-2:]}"
    if _IBAN.fullmatch(compact):
        return f"{compact[:4]}***{compact[-2:]}"
    return "***" if len(value) < _SHORT else f"{value[0]}***{value[-1]}"


def _partial_email(value: str, at: int) -> str:
    dot = value.rfind(".", at)
    top = value[dot:] if dot > at and len(value) - dot <= 5 else ""
    if not top[1:].isalpha():
        top = ""
    local = value[0] if at > 2 else ""
    domain = value[at + 1] if dot - at > 3 else ""
    return f"{local}***@{domain}***{top}"
