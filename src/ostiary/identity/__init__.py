"""Proofs to principals: the gate's `Identity` port. docs/identity.md tells the rules.

`identities` gives each proof to its kind. For OIDC `issuer` is the configuration, `compact` takes a token apart, `keys`
keeps an issuer's keys, `claims` and `groups` judge what the token says, `oidc` does these in order; SAML is in `saml`,
AWS in `aws`; client certificates are in `certificates`. Only `http_fetch` and `aws.sts` open sockets (and
`local_issuer`, for the demo).
"""

from ostiary.identity.aws.issuer import AwsIssuer
from ostiary.identity.certificate_issuer import X509Issuer
from ostiary.identity.fetch import Fetch, FetchError
from ostiary.identity.http_fetch import HttpFetch
from ostiary.identity.identities import AnyIssuer, Identities
from ostiary.identity.issuer import DEFAULT_ALGORITHMS, OidcIssuer
from ostiary.identity.oidc import OidcIdentity
from ostiary.identity.saml.issuer import SamlIssuer

__all__ = [
    "DEFAULT_ALGORITHMS",
    "AnyIssuer",
    "AwsIssuer",
    "Fetch",
    "FetchError",
    "HttpFetch",
    "Identities",
    "OidcIdentity",
    "OidcIssuer",
    "SamlIssuer",
    "X509Issuer",
]
