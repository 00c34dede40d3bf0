"""Ways of signing people in elsewhere, as configured."""

from collections.abc import Callable

from ostiary.config import Settings
from ostiary.identity import HttpFetch
from ostiary.identity.groups import GroupNames
from ostiary.signin.logins import OidcLogin, SamlLogin
from ostiary.signin.oidc import OidcWay
from ostiary.signin.ways import PostedWay, Spend, Ways


def ways_of(settings: Settings, names: GroupNames, spend: Spend, clock: Callable[[], float]) -> Ways:
    """Made from their sections. Raises OSError, ValueError.

    Args:
        settings: the gateway's.
        names: of the groups of all issuers.
        spend: see `Spend`.
        clock: Unix seconds.
    """
    http = HttpFetch()
    oidc = [OidcWay(each, http, names, spend, clock) for each in settings.logins if isinstance(each, OidcLogin)]
    return Ways({way.name: way for way in oidc}, _posted(settings, names, spend, clock))


def _posted(settings: Settings, names: GroupNames, spend: Spend, clock: Callable[[], float]) -> dict[str, PostedWay]:
    logins = [each for each in settings.logins if isinstance(each, SamlLogin)]
    if not logins:
        return {}
    # Only who signs people in by SAML has its package, and the key.
    from ostiary.signin.saml import SamlWay
    from ostiary.signin.saml_key import SamlKey

    key = SamlKey(settings.recording_key.with_name("saml.pem"))
    return {each.issuer.name: SamlWay(each, key, names, spend, clock) for each in logins}
