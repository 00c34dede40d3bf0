"""What the authorization server is and does (RFC 8414)."""

from typing import Any, Final
from urllib.parse import urlsplit

from ostiary.identity.issuer import DEFAULT_ALGORITHMS
from ostiary.oauth.authentication import METHODS
from ostiary.oauth.grants import GRANTS
from ostiary.oauth.people import PEOPLE_GRANTS

METADATA_PATH: Final = "/.well-known/oauth-authorization-server"
#: Under the issuer's URL.
PATHS: Final = {
    "token_endpoint": "/oauth/token",
    "revocation_endpoint": "/oauth/revoke",
    "introspection_endpoint": "/oauth/introspect",
    "jwks_uri": "/oauth/jwks",
}


#: The same, for people.
PEOPLE_PATHS: Final = {
    "authorization_endpoint": "/oauth/authorize",
    "device_authorization_endpoint": "/oauth/device_authorization",
}


def metadata(issuer: str, *, people: bool, bound: bool = False) -> dict[str, Any]:
    """The document. Paths are under the host: nothing is served below a path of the issuer's URL.

    `people`: somebody can sign in here. `bound`: tokens are bound to client certificates (RFC 8705 §3.3).
    """
    parts = urlsplit(issuer)
    host = f"{parts.scheme}://{parts.netloc}"
    document: dict[str, Any] = {"issuer": issuer}
    document |= {name: host + path for name, path in PATHS.items()}
    document |= {"response_types_supported": [], "grant_types_supported": list(GRANTS)}
    document["tls_client_certificate_bound_access_tokens"] = bound
    if people:
        document |= {name: host + path for name, path in PEOPLE_PATHS.items()}
        document["response_types_supported"] = ["code"]
        document["response_modes_supported"] = ["query"]
        document["grant_types_supported"] += PEOPLE_GRANTS
        document["code_challenge_methods_supported"] = ["S256"]
        document["authorization_response_iss_parameter_supported"] = True
    for endpoint in ("token", "revocation", "introspection"):
        open_to_all = [] if endpoint == "introspection" else ["none"]
        document[f"{endpoint}_endpoint_auth_methods_supported"] = [*METHODS, *open_to_all]
        document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = list(DEFAULT_ALGORITHMS)
    return document
