"""Refusals of tokens. They name the rule and the next step, and never hold a byte of the token."""

from typing import Final

from ostiary.core import Refusal, RefusalKind
from ostiary.gate.ports import Refused

NEW_TOKEN: Final = "get a new token and connect again"  # noqa: S105 - a sentence
WRONG_TOKEN: Final = "ask the issuer for a signed JWT made for this gateway, and pass it unchanged"  # noqa: S105


def refused(reason: str, hint: str = WRONG_TOKEN, *, what: str = "token") -> Refused:
    """`token refused: REASON`, or `what` in place of the token."""
    return Refused(Refusal(RefusalKind.IDENTITY, f"{what} refused: {reason}", hint))
