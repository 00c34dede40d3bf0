"""AWS as it is configured: whose callers are believed, and which endpoints of STS are asked."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ostiary.core import PrincipalKind
from ostiary.identity.groups import GroupTemplate
from ostiary.identity.issuer import Bound, check_bind, check_seconds, check_tuples, made_for

#: The endpoint that tools use when they are told of no region.
GLOBAL_HOST: Final = "sts.amazonaws.com"
DEFAULT_GROUPS: Final = ("aws/{account}", "aws-role/{account}/{role}", "aws-user/{account}/{user}")
#: What can be bound, and stand in groups; `session` is often the caller's own choice.
CLAIMS: Final = ("account", "role", "user", "session")

_REGION: Final = re.compile(r"[a-z]{2,3}(-[a-z]{2,12}){1,2}-[0-9]{1,2}")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_SERVER_ID: Final = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one region's signatures are verified."""

    host: str
    region: str

    @property
    def partition(self) -> str:
        """The second part of ARNs there."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"


@dataclass(frozen=True, slots=True)
class AwsIssuer:
    """AWS accounts whose roles and users may log in.

    Raises:
        ValueError: A sentence that names the issuer, the setting and what is wrong with it.
    """

    #: Prefix of its principals' ids.
    name: str
    #: Values of the signed header `X-Ostiary-Server-ID`: a request signed for somebody else proves nothing here.
    audiences: tuple[str, ...]
    #: Of `CLAIMS`; `account` must be bound.
    bind: Bound
    groups: tuple[str, ...] = DEFAULT_GROUPS
    #: Regions whose endpoints are asked besides the global one.
    regions: tuple[str, ...] = ()
    #: Seconds for which a signed request is a proof, from the time that was signed.
    max_age: float = 300.0
    #: Seconds that the caller's clock and ours may be apart.
    leeway: float = 30.0
    #: Seconds that a session may last. AWS does not say when the caller's own credentials end.
    max_session: float = 3600.0
    kind: PrincipalKind = PrincipalKind.WORKLOAD
    templates: tuple[GroupTemplate, ...] = field(init=False)
    #: By host.
    endpoints: Mapping[str, Endpoint] = field(init=False)

    def __post_init__(self) -> None:
        with made_for(self):
            self._check()
        regional = (Endpoint(f"sts.{region}.amazonaws.com{_tail(region)}", region) for region in self.regions)
        known = {each.host: each for each in (Endpoint(GLOBAL_HOST, "us-east-1"), *regional)}
        object.__setattr__(self, "endpoints", known)

    def _check(self) -> None:
        check_tuples(self, "audiences", "groups", "regions")
        if not self.audiences or not all(map(_SERVER_ID.fullmatch, self.audiences)):
            raise ValueError("audience: name this gateway, as in gw.example.com: callers sign it")
        if not set(self.bind) <= set(CLAIMS):
            raise ValueError(f"bind: there are {', '.join(CLAIMS)}")
        accounts = self.bind.get("account", ())
        accounts = accounts if isinstance(accounts, tuple) else (accounts,)
        if not accounts or not all(isinstance(each, str) and _ACCOUNT.fullmatch(each) for each in accounts):
            raise ValueError(
                "bind: every AWS account can sign such a request, so bind what is yours, "
                'as in bind: {account: "123456789012"}: twelve digits, in quotes'
            )
        for region in self.regions:
            if not _REGION.fullmatch(region):
                raise ValueError(f'regions: "{region}" is none; write it as in eu-central-1')
        if not (math.isfinite(self.max_age) and 1 <= self.max_age <= 900):
            raise ValueError("max_age: must be from 1 to 900 seconds, for which AWS takes a signature")
        check_bind(self.bind)
        check_seconds(self)

    @property
    def accepted(self) -> tuple[str, ...]:
        """What no other issuer may have: the audiences choose among those of AWS."""
        return tuple(f"aws:{audience}" for audience in self.audiences)


def _tail(region: str) -> str:
    return ".cn" if region.startswith("cn-") else ""
