"""The OAuth 2 token endpoint: what it answers, without HTTP; `api` puts it on a listener.

`request` reads a form, `authentication` finds the client, `grants` issue, `endpoint` is all of it with errors as
RFC 6749 §5.2 has them, `metadata` says what there is (RFC 8414), `tell` writes down what became of tokens.
docs/service-accounts.md
"""

from ostiary.oauth.endpoint import Answer, OAuth, refusal, slow_down, unavailable
from ostiary.oauth.metadata import METADATA_PATH, PATHS, PEOPLE_PATHS
from ostiary.oauth.tell import TellsTokens

__all__ = [
    "METADATA_PATH",
    "PATHS",
    "PEOPLE_PATHS",
    "Answer",
    "OAuth",
    "TellsTokens",
    "refusal",
    "slow_down",
    "unavailable",
]
