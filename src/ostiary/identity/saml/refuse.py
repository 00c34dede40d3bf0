"""Refusals of assertions. They name the rule and the next step, and never hold a byte of the assertion."""

from typing import Final

from ostiary.gate.ports import Refused
from ostiary.identity.refuse import refused as refused_token

NEW_ASSERTION: Final = "get a new assertion and connect again"
WRONG_ASSERTION: Final = (
    "ask the identity provider for a signed SAML 2.0 assertion made for this gateway, and pass it in base64, unchanged"
)


def refused(reason: str, hint: str = WRONG_ASSERTION) -> Refused:
    """`token refused: REASON`."""
    return refused_token(reason, hint)
