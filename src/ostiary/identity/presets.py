"""Issuers that many know: what their tokens say, and which bindings keep strangers out.

An issuer that serves everybody (every repository on GitHub) signs tokens for whatever audience the caller asks for. So
the audience says nothing about who is calling, and such an issuer must be bound to what is the operator's own. A preset
knows which of its claims can carry that, and refuses to be made without one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from ostiary.core import PrincipalKind
from ostiary.identity.issuer import Bound, BoundValue, OidcIssuer, Rule
from ostiary.identity.preset_rules import (
    refuse_circleci_forks_and_shells,
    refuse_delegated_tokens,
    refuse_github_pull_requests,
    refuse_gitlab_merge_requests,
    refuse_lost_groups,
    refuse_other_branches_of_forks,
    service_account_of_its_namespace,
)
from ostiary.identity.spiffe import SCHEME, SVID_ALGORITHMS, check_trust_domain

_HOST: Final = r"[a-z0-9-]+(\.[a-z0-9-]+)*(:\d{1,5})?"
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: Microsoft's tenant of personal accounts: it serves everybody.
_CONSUMERS: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"
#: Any text will do.
_ANY: Final = re.compile(r"(?s).+")


def _elsewhere(host: str) -> str:
    """An installation on another host than this one."""
    return rf"https://(?!{re.escape(host)}(?:[:/]|$)){_HOST}"


def _needs(*claims: str, **shaped: str) -> Mapping[str, re.Pattern[str]]:
    return {**dict.fromkeys(claims, _ANY), **{claim: re.compile(shape) for claim, shape in shaped.items()}}


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of an issuer that all its users share, or that all its installations have in common."""

    #: `iss`, unless another one is configured.
    issuer: str
    #: What may be configured.
    installations: re.Pattern[str]
    groups: tuple[str, ...]
    #: Claims that say whose the caller is → what a bound value must look like to do so. One of them must be bound.
    needs: Mapping[str, re.Pattern[str]]
    #: Who gets tokens of it.
    strangers: str
    #: A binding as it could be.
    example: str
    #: In place of `needs` for people who log in there, where they have other claims.
    people: Mapping[str, re.Pattern[str]] | None = None
    #: Claims that, where none is bound, …
    lifted_by: tuple[str, ...] = ()
    #: … are judged by this.
    rule: Rule | None = None


PRESETS: Final[Mapping[str, Preset]] = {
    "github-actions": Preset(
        issuer="https://token.actions.githubusercontent.com",
        installations=re.compile(
            r"https://token\.actions\.githubusercontent\.com(/[A-Za-z0-9-]+)?"
            rf"|https://token\.actions\.[a-z0-9-]+\.ghe\.com|https://(?!token\.actions\.){_HOST}/_services/token"
        ),
        groups=("repo/{repository}", "owner/{repository_owner}"),
        needs=_needs(
            *("repository_owner_id", "repository_owner", "repository_id", "repository", "enterprise_id", "enterprise"),
            # Its template is the repository's choice, so only these beginnings are beyond doubt.
            sub=r"repo:[^/:]+/[^/:]+:.+|(repository|repository_id|repository_owner|repository_owner_id):[^:]+(:.+)?",
        ),
        strangers="every repository of that GitHub",
        example="repository_owner: acme",
        lifted_by=("event_name",),
        rule=refuse_github_pull_requests,
    ),
    "gitlab-ci": Preset(
        issuer="https://gitlab.com",
        installations=re.compile(rf"https://gitlab\.com|{_elsewhere('gitlab.com')}(/[A-Za-z0-9._-]+)?"),
        groups=("project/{project_path}", "namespace/{namespace_path}"),
        needs=_needs(
            *("namespace_id", "namespace_path", "project_id", "project_path"), sub=r"project_path:[^/:]+/[^:]+:.+"
        ),
        people=_needs("sub", "email", "nickname", "preferred_username"),
        strangers="every project of that GitLab",
        example="namespace_path: acme",
        lifted_by=("pipeline_source",),
        rule=refuse_gitlab_merge_requests,
    ),
    "terraform-cloud": Preset(
        issuer="https://app.terraform.io",
        installations=re.compile(rf"https://app\.terraform\.io|{_elsewhere('app.terraform.io')}"),
        groups=(
            "workspace/{terraform_organization_name}/{terraform_workspace_name}",
            "run-phase/{terraform_run_phase}",
        ),
        needs=_needs(
            *("terraform_organization_id", "terraform_organization_name", "terraform_project_id"),
            *("terraform_workspace_id", "terraform_full_workspace"),
            sub=r"organization:[^:]+:project:[^:]+:workspace:[^:]+:run_phase:[a-z]+",
        ),
        strangers="every organization of that Terraform Cloud",
        example="terraform_organization_name: acme",
    ),
    "buildkite": Preset(
        issuer="https://agent.buildkite.com",
        installations=re.compile(r"https://agent\.buildkite\.com"),
        groups=("pipeline/{organization_slug}/{pipeline_slug}",),
        # Not `sub`: whoever asks for the token chooses which claim stands there.
        needs=_needs("organization_id", "organization_slug", "pipeline_id"),
        strangers="every organization on Buildkite",
        example="organization_slug: acme",
        lifted_by=("build_branch",),
        rule=refuse_other_branches_of_forks,
    ),
    "google": Preset(
        issuer="https://accounts.google.com",
        installations=re.compile(r"https://accounts\.google\.com"),
        groups=("google/{email}", "google-project/{/google/compute_engine/project_id}"),
        needs=_needs(
            "sub", "email", "hd", "/google/compute_engine/project_id", "/google/compute_engine/project_number"
        ),
        strangers="every service account and every user of Google's",
        example="email: jobs@acme-prod.iam.gserviceaccount.com",
    ),
}
#: Hosts that serve strangers, whatever the type of the issuer that is configured.
_SHARED: Final = {urlsplit(preset.issuer).hostname: preset for preset in PRESETS.values()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """Settings that every issuer of JWTs has; None leaves the preset's own."""

    name: str
    audiences: tuple[str, ...]
    bind: Bound = field(default_factory=dict)
    groups: tuple[str, ...] | None = None
    #: Further settings of `OidcIssuer`.
    more: Mapping[str, Any] = field(default_factory=dict)

    def issuer(self, issuer: str, groups: tuple[str, ...] = (), **settings: Any) -> OidcIssuer:
        """Raises ValueError."""
        mine = {"bind": self.bind, **settings, **self.more}
        chosen = groups if self.groups is None else self.groups
        return OidcIssuer(name=self.name, issuer=issuer, audiences=self.audiences, groups=chosen, **mine)


def preset(kind: str, common: Common, issuer: str | None = None) -> OidcIssuer:
    """An issuer of one of `PRESETS`. Raises ValueError."""
    known = PRESETS[kind]
    url = known.issuer if issuer is None else issuer
    _check(common, known, url)
    rule = None if set(known.lifted_by) & set(common.bind) else known.rule
    return common.issuer(url, known.groups, rule=rule)


def oidc(common: Common, issuer: str) -> OidcIssuer:
    """Any issuer; one that serves strangers must be bound as its preset would be. Raises ValueError."""
    known = _SHARED.get(_hostname(issuer))
    if known is not None:
        _check(common, known, issuer)
    return common.issuer(issuer)


def kubernetes(common: Common, issuer: str) -> OidcIssuer:
    """A cluster: `--service-account-issuer` of its API server. Raises ValueError."""
    groups = (
        "k8s/{/kubernetes.io/namespace}",
        "k8s-sa/{/kubernetes.io/namespace}/{/kubernetes.io/serviceaccount/name}",
    )
    return common.issuer(issuer, groups, rule=service_account_of_its_namespace)


def azure(common: Common, tenant: str) -> OidcIssuer:
    """A tenant of Entra ID, with both issuers that its tokens may name. Raises ValueError."""
    _check_uuid(common.name, "tenant", tenant)
    if tenant == _CONSUMERS:
        raise ValueError(f'issuer "{common.name}": tenant: is that of all personal accounts; name your own')
    if common.bind.get("tid", tenant) != tenant:
        raise ValueError(f'issuer "{common.name}": bind: tid: is the tenant already, leave it out')
    keys = {"jwks_uri": f"https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys"}
    if common.more.get("jwks") or common.more.get("jwks_file"):
        keys = {}
    return common.issuer(
        f"https://login.microsoftonline.com/{tenant}/v2.0",
        ("azure-role/{roles}", "azure-group/{groups}"),
        aliases=(f"https://sts.windows.net/{tenant}/",),
        bind={**common.bind, "tid": tenant},
        rule=refuse_lost_groups if common.more.get("kind") is PrincipalKind.HUMAN else refuse_delegated_tokens,
        **keys,
    )


def circleci(common: Common, organization: str) -> OidcIssuer:
    """An organization on CircleCI. Raises ValueError."""
    _check_uuid(common.name, "organization", organization)
    if not common.audiences:
        common = replace(common, audiences=(organization,))
    return common.issuer(
        f"https://oidc.circleci.com/org/{organization}",
        ("circleci-project/{oidc.circleci.com/project-id}",),
        rule=refuse_circleci_forks_and_shells,
    )


def spiffe(common: Common, trust_domain: str) -> OidcIssuer:
    """A trust domain, whose JWT-SVIDs are verified with its bundle. Raises ValueError."""
    try:
        check_trust_domain(trust_domain)
    except ValueError as error:
        raise ValueError(f'issuer "{common.name}": {error}') from None
    return common.issuer(SCHEME + trust_domain, algorithms=SVID_ALGORITHMS)


def _check(common: Common, known: Preset, url: str) -> None:
    about = f'issuer "{common.name}"'
    if not known.installations.fullmatch(url) or _SHARED.get(_hostname(url), known) is not known:
        raise ValueError(f"{about}: issuer: is not one that such tokens name: compare it with {known.issuer}")
    for claim, bound in common.bind.items():
        for value in bound if isinstance(bound, tuple) else (bound,):
            if isinstance(value, str) and "*" in value:
                raise ValueError(
                    f"{about}: bind: {claim}: values are compared whole and know no wildcards; "
                    f"bind a claim that has one value, as in {{{known.example}}}"
                )
    needs = (known.people if common.more.get("kind") is PrincipalKind.HUMAN else None) or known.needs
    if not any(_tells(needs, claim, bound) for claim, bound in common.bind.items()):
        raise ValueError(
            f"{about}: bind: {known.strangers} can get a token for this audience, so bind what is yours, "
            f"as in bind: {{{known.example}}}; one of {', '.join(needs)} will do, written in full"
        )


def _tells(needs: Mapping[str, re.Pattern[str]], claim: str, bound: BoundValue | tuple[BoundValue, ...]) -> bool:
    """Does this binding leave only callers of the operator's own?"""
    shape = needs.get(claim)
    values = bound if isinstance(bound, tuple) else (bound,)
    return shape is not None and all(isinstance(value, str) and shape.fullmatch(value) for value in values)


def _check_uuid(name: str, setting: str, value: str) -> None:
    if not _UUID.fullmatch(value):
        raise ValueError(f'issuer "{name}": {setting}: write its id, a UUID in small letters, not its name')


def _hostname(url: str) -> str | None:
    """Of a look-alike, the host that it looks like. None when there is none."""
    try:
        return (urlsplit(url.strip()).hostname or "").rstrip(".")
    except ValueError:
        return None
