"""Tokens to principals: the gate's `Identity` port for OIDC issuers. docs/identity.md tells the rules.

`issuer` is the configuration, `compact` takes a token apart, `keys` keeps an issuer's keys, `claims` and `groups` judge
what the token says, `oidc` does these in order. Only `http_fetch` opens sockets (and `local_issuer`, for the demo).
"""

from ostiary.identity.fetch import Fetch, FetchError
from ostiary.identity.http_fetch import HttpFetch
from ostiary.identity.issuer import DEFAULT_ALGORITHMS, OidcIssuer
from ostiary.identity.oidc import OidcIdentity

__all__ = ["DEFAULT_ALGORITHMS", "Fetch", "FetchError", "HttpFetch", "OidcIdentity", "OidcIssuer"]
