"""Every preset: a token as its issuer writes it passes, and each stranger's is refused for its reason."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from ostiary.core import PrincipalKind
from ostiary.gate.ports import Refused
from ostiary.identity import OidcIssuer
from ostiary.identity.presets import PRESETS, Common, azure, circleci, kubernetes, oidc, preset, spiffe
from tests.identity.fakes import World, sign

TENANT = "11111111-2222-3333-4444-555555555555"
ORGANIZATION = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
PROJECT = "99999999-bbbb-cccc-dddd-eeeeeeeeeeee"
GITHUB = "https://token.actions.githubusercontent.com"
NOT_BOUND = "does not have a value that issuer"
NOT_OURS = "its issuer (iss) is not one of those configured here"

Claims = Mapping[str, object]


def common(bind: Mapping[str, Any] | None = None, audience: str = "ostiary", **more: object) -> Common:
    """An issuer called ci."""
    return Common(name="ci", audiences=(audience,), bind=bind or {}, more=more)


@dataclass(frozen=True)
class Case:
    """An issuer, a token of the operator's own, and what becomes of tokens that differ from it."""

    issuer: OidcIssuer
    token: Claims
    groups: set[str]
    refused: Mapping[str, tuple[Claims, str]] = field(default_factory=dict)
    accepted: Mapping[str, Claims] = field(default_factory=dict)


def look_alikes(url: str) -> dict[str, tuple[Claims, str]]:
    """Issuers that a person or a lax comparison could take for this one."""
    host = url.removeprefix("https://")
    return {
        f"issuer {text!r}": ({"iss": text}, NOT_OURS)
        for text in (
            url + "/",
            url.removesuffix("/") + ".evil.example",
            url + "/mallory",
            url + "?",
            url + "#",
            url + " ",
            url.upper(),
            f"http://{host}",
            f"https://evil.example/{host}",
            f"https://user@{host}",
            url.replace("o", "\N{CYRILLIC SMALL LETTER O}", 1),
            url.replace("https://", "https://evil."),
        )
    }


def github(**changed: object) -> dict[str, object]:
    """As GitHub's documentation shows it."""
    return {
        "sub": "repo:acme/shop:ref:refs/heads/main",
        "repository": "acme/shop",
        "repository_owner": "acme",
        "repository_owner_id": "65",
        "ref": "refs/heads/main",
        "event_name": "push",
        **changed,
    }


def gitlab(**changed: object) -> dict[str, object]:
    """As GitLab's documentation shows it."""
    return {
        "sub": "project_path:acme/shop:ref_type:branch:ref:main",
        "namespace_path": "acme",
        "project_path": "acme/shop",
        "project_id": "22",
        "pipeline_source": "push",
        **changed,
    }


def cluster(namespace: str = "shop", account: str = "jobs", **changed: object) -> dict[str, object]:
    """A projected token."""
    about = {"namespace": namespace, "serviceaccount": {"name": account, "uid": "u"}, "pod": {"name": "p", "uid": "v"}}
    return {
        "sub": f"system:serviceaccount:{namespace}:{account}",
        "kubernetes.io": about,
        "aud": ["ostiary"],
        "jti": None,
        **changed,
    }


CLUSTER = "https://kubernetes.default.svc.cluster.local"
CASES = {
    "github-actions": Case(
        preset("github-actions", common({"repository_owner": "acme"})),
        github(),
        {"repo/acme/shop", "owner/acme"},
        {
            "a fork": (github(repository="mallory/shop", repository_owner="mallory"), NOT_BOUND),
            "a look-alike owner": (github(repository_owner="acme-evil"), NOT_BOUND),
            "an owner in capitals": (github(repository_owner="Acme"), NOT_BOUND),
            "no owner": (github(repository_owner=None), NOT_BOUND),
            "a pull request": (github(event_name="pull_request"), "it is of a pull request"),
            "a pull request's target": (github(event_name="pull_request_target"), "it is of a pull request"),
            "no event": (github(event_name=None), "it is of a pull request, or of no known event"),
            "the usual audience": (github(aud="https://github.com/acme"), "it was made for another audience"),
            **look_alikes(GITHUB),
        },
        {"another repository of the owner": github(repository="acme/other")},
    ),
    "github-actions, by subject": Case(
        preset(
            "github-actions", common({"sub": ("repo:acme/shop:ref:refs/heads/main", "repo:acme/shop:pull_request")})
        ),
        github(),
        {"repo/acme/shop", "owner/acme"},
        {
            "a repository whose name begins alike": (
                github(sub="repo:acme/shop-evil:ref:refs/heads/main"),
                NOT_BOUND,
            ),
            "an owner whose name ends alike": (github(sub="repo:evil-acme/shop:ref:refs/heads/main"), NOT_BOUND),
            "a branch whose name begins alike": (github(sub="repo:acme/shop:ref:refs/heads/main-2"), NOT_BOUND),
            "another ref with the same end": (github(sub="x:repo:acme/shop:ref:refs/heads/main"), NOT_BOUND),
            "a tag of the branch's name": (github(sub="repo:acme/shop:ref:refs/tags/main"), NOT_BOUND),
            "a pull request, though its subject is bound": (
                github(sub="repo:acme/shop:pull_request", event_name="pull_request"),
                "it is of a pull request",
            ),
        },
    ),
    "github-actions, pull requests wanted": Case(
        preset("github-actions", common({"repository_id": "7", "event_name": ("push", "pull_request")})),
        github(repository_id="7", event_name="pull_request"),
        {"repo/acme/shop", "owner/acme"},
        {
            "another event": (github(repository_id="7", event_name="pull_request_target"), NOT_BOUND),
            "an id that is a number": (github(repository_id=7), NOT_BOUND),
        },
    ),
    "github-actions, a server of one's own": Case(
        preset("github-actions", common({"repository_owner": "acme"}), "https://git.acme.example/_services/token"),
        github(),
        {"repo/acme/shop", "owner/acme"},
        {"github.com": ({**github(), "iss": GITHUB}, NOT_OURS)},
    ),
    "gitlab-ci": Case(
        preset("gitlab-ci", common({"project_path": ("acme/shop", "acme/ops")})),
        gitlab(),
        {"project/acme/shop", "namespace/acme"},
        {
            "a fork": (gitlab(project_path="mallory/shop", namespace_path="mallory"), NOT_BOUND),
            "a look-alike": (gitlab(project_path="acme/shop-evil"), NOT_BOUND),
            "a subgroup": (gitlab(project_path="acme/shop/evil"), NOT_BOUND),
            "a merge request": (gitlab(pipeline_source="merge_request_event"), "it is of a merge request"),
            "an external one": (gitlab(pipeline_source="external_pull_request_event"), "it is of a merge request"),
            "no source": (gitlab(pipeline_source=None), "it is of a merge request, or of no known source"),
            **look_alikes("https://gitlab.com"),
        },
    ),
    "gitlab-ci, an installation of one's own": Case(
        preset(
            "gitlab-ci", common({"namespace_path": "acme", "pipeline_source": "web"}), "https://git.acme.example/lab"
        ),
        gitlab(pipeline_source="web"),
        {"project/acme/shop", "namespace/acme"},
        {"gitlab.com": ({**gitlab(pipeline_source="web"), "iss": "https://gitlab.com"}, NOT_OURS)},
    ),
    "kubernetes": Case(
        kubernetes(common(), CLUSTER),
        cluster(),
        {"k8s/shop", "k8s-sa/shop/jobs"},
        {
            "the API server's audience": (cluster(aud=[CLUSTER]), "it was made for another audience"),
            "a token of a secret, which never ends": (
                {"sub": "system:serviceaccount:shop:jobs", "exp": None, "aud": "ostiary"},
                "it has no expiry",
            ),
            "an account that is not its namespace's": (
                cluster(sub="system:serviceaccount:kube-system:admin"),
                "its subject is not the service account",
            ),
            "a person of the same issuer": ({"sub": "admin"}, "its subject is not the service account"),
            **look_alikes(CLUSTER),
        },
    ),
    "kubernetes, one namespace": Case(
        kubernetes(common({"/kubernetes.io/namespace": "shop"}), CLUSTER),
        cluster(),
        {"k8s/shop", "k8s-sa/shop/jobs"},
        {"a namespace whose name begins alike": (cluster("shop-evil"), NOT_BOUND)},
    ),
    "terraform-cloud": Case(
        preset("terraform-cloud", common({"terraform_organization_name": "acme"})),
        {
            "sub": "organization:acme:project:shop:workspace:prod:run_phase:apply",
            "terraform_organization_name": "acme",
            "terraform_workspace_name": "prod",
            "terraform_run_phase": "apply",
        },
        {"workspace/acme/prod", "run-phase/apply"},
        {
            "another organization": ({"terraform_organization_name": "acme-evil"}, NOT_BOUND),
            "none": ({"terraform_organization_name": None}, NOT_BOUND),
            **look_alikes("https://app.terraform.io"),
        },
    ),
    "buildkite": Case(
        preset("buildkite", common({"organization_slug": "acme"})),
        {
            "sub": "organization:acme:pipeline:shop:ref:refs/heads/main:commit:9f31820:step:",
            "organization_slug": "acme",
            "pipeline_slug": "shop",
            "build_branch": "main",
        },
        {"pipeline/acme/shop"},
        {
            "another organization": ({"organization_slug": "acme-evil"}, NOT_BOUND),
            "another organization, with a chosen subject": ({"organization_slug": "evil", "sub": "acme"}, NOT_BOUND),
            "a fork's branch": ({"build_branch": "mallory:main"}, "it is of a fork's branch"),
            "no branch": ({"build_branch": None}, "it is of a fork's branch, or of no known branch"),
            **look_alikes("https://agent.buildkite.com"),
        },
    ),
    "google": Case(
        preset("google", common({"email": "jobs@acme.iam.gserviceaccount.com"})),
        {
            "sub": "110169484474386276334",
            "azp": "110169484474386276334",
            "email": "jobs@acme.iam.gserviceaccount.com",
            "email_verified": True,
            "google": {"compute_engine": {"project_id": "acme", "instance_name": "vm"}},
        },
        {"google/jobs@acme.iam.gserviceaccount.com", "google-project/acme"},
        {
            "an address that was never verified": ({"email_verified": False}, NOT_BOUND),
            "another project's account": ({"email": "jobs@acme-evil.iam.gserviceaccount.com"}, NOT_BOUND),
            "without address": ({"email": None}, NOT_BOUND),
            **look_alikes("https://accounts.google.com"),
            "issuer without scheme": ({"iss": "accounts.google.com"}, NOT_OURS),
        },
    ),
    "azure": Case(
        azure(common(audience="api://ostiary"), TENANT),
        {"sub": "0000-1", "oid": "0000-1", "aud": "api://ostiary", "azp": "app", "tid": TENANT, "roles": ["reader"]},
        {"azure-role/reader"},
        {
            "another tenant": ({"tid": ORGANIZATION}, NOT_BOUND),
            "no tenant": ({"tid": None}, NOT_BOUND),
            "another tenant's issuer": (
                {"iss": f"https://login.microsoftonline.com/{ORGANIZATION}/v2.0"},
                NOT_OURS,
            ),
            "a person's": ({"scp": "user_impersonation"}, "it speaks for a person"),
            "an ID token": ({"azp": None}, "it speaks for a person"),
            "groups that are elsewhere": ({"_claim_names": {"groups": "src1"}}, "its caller is in more groups"),
            "version 1 without its slash": ({"iss": f"https://sts.windows.net/{TENANT}"}, NOT_OURS),
            **look_alikes(f"https://login.microsoftonline.com/{TENANT}/v2.0"),
        },
        {"version 1": {"iss": f"https://sts.windows.net/{TENANT}/", "appid": "app", "azp": None}},
    ),
    "circleci": Case(
        circleci(Common(name="ci", audiences=()), ORGANIZATION),
        {
            "sub": f"org/{ORGANIZATION}/project/{PROJECT}/user/{TENANT}",
            "aud": ORGANIZATION,
            "oidc.circleci.com/project-id": PROJECT,
            "oidc.circleci.com/vcs-ref": "refs/heads/main",
            "oidc.circleci.com/ssh-rerun": False,
        },
        {f"circleci-project/{PROJECT}"},
        {
            "another organization": ({"iss": f"https://oidc.circleci.com/org/{PROJECT}"}, NOT_OURS),
            "a fork's pull request": ({"oidc.circleci.com/vcs-ref": "refs/pull/7/head"}, "it is of a pull request"),
            "a job with a shell": ({"oidc.circleci.com/ssh-rerun": True}, "it is of a job that was run again with SSH"),
            "another audience": ({"aud": PROJECT}, "it was made for another audience"),
            **look_alikes(f"https://oidc.circleci.com/org/{ORGANIZATION}"),
        },
    ),
}


def published(issuer: OidcIssuer) -> World:
    """A world with this issuer, whose key set is wherever it is looked for."""
    world = World(issuer)
    world.web.publish(issuer.issuer.removesuffix("/"), world.key)
    if issuer.jwks_uri is not None:
        world.web.pages[issuer.jwks_uri] = world.web.pages[f"{issuer.issuer}/jwks"]
    return world


def signed(case: Case, changed: Claims) -> tuple[World, str]:
    """The case's token with changes."""
    world = published(case.issuer)
    return world, world.token(**{"iss": case.issuer.issuer, **case.token, **changed})


@pytest.mark.parametrize("name", CASES)
async def test_ones_own_token_passes(name: str) -> None:
    """A token as the issuer writes it makes the principal and groups that the page promises."""
    case = CASES[name]
    world, token = signed(case, {})
    principal = await world.identify(token)
    assert principal.id == f"ci:{case.token['sub']}"
    assert principal.kind is PrincipalKind.WORKLOAD
    assert principal.groups == case.groups
    for changed in case.accepted.values():
        world, token = signed(case, changed)
        assert await world.identify(token)


@pytest.mark.parametrize(("name", "stranger"), [(name, each) for name, case in CASES.items() for each in case.refused])
async def test_strangers_are_refused_for_their_reason(name: str, stranger: str) -> None:
    """Forks, look-alikes and other people's tokens, all well signed by the issuer itself."""
    changed, reason = CASES[name].refused[stranger]
    world, token = signed(CASES[name], changed)
    with pytest.raises(Refused) as caught:
        await world.identify(token)
    assert reason in caught.value.refusal.message
    assert caught.value.refusal.hint


@pytest.mark.parametrize("kind", PRESETS)
def test_an_issuer_that_serves_everybody_must_be_bound(kind: str) -> None:
    """Without a binding that tells whose the caller is there is no such issuer; the sentence shows one that works."""
    known = PRESETS[kind]
    with pytest.raises(ValueError, match="can get a token for this audience, so bind") as said:
        preset(kind, common())
    claim, value = known.example.split(": ")
    assert known.example in str(said.value)
    assert preset(kind, common({claim: value})).bind == {claim: value}
    for bind in ({"ref": "refs/heads/main"}, {claim: True}, {claim: ""}, {claim: (value, 1)}):
        with pytest.raises(ValueError, match="bind what is yours"):
            preset(kind, common(bind))
    with pytest.raises(ValueError, match="know no wildcards"):
        preset(kind, common({claim: f"{value}*"}))


@pytest.mark.parametrize(
    "sub",
    [
        "job_workflow_ref:acme/shop/.github/workflows/x.yml@refs/heads/main",
        "repo:acme",
        "repo:acme/shop",
        "repo:acme/shop:",
        "repository:acme/shop:",
        "actor:acme",
        "acme/shop",
    ],
)
def test_a_subject_that_others_can_have_binds_nothing(sub: str) -> None:
    """A repository chooses its subject's template: one that names no owner first may be a stranger's."""
    with pytest.raises(ValueError, match="bind what is yours"):
        preset("github-actions", common({"sub": sub}))
    assert preset("github-actions", common({"sub": sub, "repository_owner": "acme"}))


SOMEBODYS = (
    *("https://gitlab.com.evil.example", "https://evil.gitlab.com", "https://evil.example/gitlab.com"),
    *("https://app.terraform.io.evil.example", "https://evil.app.terraform.io"),
)
LOOK_ALIKES = [
    (kind, str(changed["iss"]))
    for kind, known in PRESETS.items()
    for changed, _ in look_alikes(known.issuer).values()
    # An enterprise's own issuer on GitHub, and installations that somebody may have.
    if str(changed["iss"]) not in (f"{GITHUB}/mallory", *SOMEBODYS)
]


@pytest.mark.parametrize(("kind", "url"), [*LOOK_ALIKES, ("github-actions", f"{GITHUB}.evil.example/_services/token")])
def test_an_issuer_that_looks_like_it_is_refused(kind: str, url: str) -> None:
    """A configured issuer must be one that such tokens can name."""
    claim, value = PRESETS[kind].example.split(": ")
    with pytest.raises(ValueError, match=r"compare it with https://"):
        preset(kind, common({claim: value}), url)


@pytest.mark.parametrize("kind", PRESETS)
def test_a_shared_host_is_no_other_issuer(kind: str) -> None:
    """Whoever writes `type: oidc` with a slash too much hears it, and so does who leaves the s of https away."""
    known = PRESETS[kind]
    claim, value = known.example.split(": ")
    for url in (known.issuer + "/", known.issuer.replace("https", "http"), known.issuer + ":443", known.issuer.upper()):
        with pytest.raises(ValueError, match=r"compare it with https://"):
            oidc(common({claim: value}), url)


@pytest.mark.parametrize("kind", PRESETS)
def test_a_shared_issuer_is_bound_by_any_type(kind: str) -> None:
    """`type: oidc` with such a URL is the same door."""
    known = PRESETS[kind]
    claim, value = known.example.split(": ")
    with pytest.raises(ValueError, match="bind what is yours"):
        oidc(common(), known.issuer)
    assert oidc(common({claim: value}), known.issuer)
    with pytest.raises(ValueError, match="bind what is yours"):
        oidc(common(kind=PrincipalKind.HUMAN), known.issuer)
    with pytest.raises(ValueError, match="bind what is yours"):
        oidc(common({"email_verified": True}, kind=PrincipalKind.HUMAN), known.issuer)


def test_people_have_other_claims() -> None:
    """Who logs in at GitLab has no project, who logs in at Google has an address and a domain; GitHub has jobs only."""
    for bind in ({"sub": "7"}, {"email": "jane@acme.example"}):
        assert oidc(common(bind, kind=PrincipalKind.HUMAN), "https://gitlab.com")
        assert oidc(common({"hd": "acme.example"}, kind=PrincipalKind.HUMAN), "https://accounts.google.com")
        with pytest.raises(ValueError, match="bind what is yours"):
            oidc(common(bind, kind=PrincipalKind.HUMAN), GITHUB)
    with pytest.raises(ValueError, match="bind what is yours"):
        oidc(common({"sub": "7"}), "https://gitlab.com")


def test_one_preset_is_not_the_other() -> None:
    """A service's issuer under another service's type would be judged by the wrong rules."""
    with pytest.raises(ValueError, match="is not one that such tokens name"):
        preset("gitlab-ci", common({"namespace_path": "acme"}), "https://agent.buildkite.com")


@pytest.mark.parametrize("tenant", ["common", "acme.onmicrosoft.com", TENANT.upper().replace("1", "A"), ""])
def test_a_tenant_is_an_id(tenant: str) -> None:
    """A name could be anybody's next year, and `common` is everybody."""
    with pytest.raises(ValueError, match=r"tenant: write its id|organization: write its id"):
        azure(common(), tenant)
    with pytest.raises(ValueError, match="organization: write its id"):
        circleci(common(), tenant)


def test_azure_is_one_tenant() -> None:
    """Neither everybody's tenant, nor another one in the bindings; people's tokens want `kind: human`."""
    with pytest.raises(ValueError, match="that of all personal accounts"):
        azure(common(), "9188040d-6c67-4c5b-b112-36a304b66dad")
    with pytest.raises(ValueError, match="is the tenant already"):
        azure(common({"tid": ORGANIZATION}), TENANT)


async def test_people_of_a_tenant() -> None:
    """With `kind: human` an ID token passes, unless groups are missing from it."""
    issuer = azure(common(audience="app", kind=PrincipalKind.HUMAN), TENANT)
    person = {"sub": "p", "aud": "app", "tid": TENANT, "groups": ["g1"]}
    world, token = signed(Case(issuer, person, set()), {})
    assert (await world.identify(token)).groups == {"azure-group/g1"}
    with pytest.raises(Refused, match="more groups"):
        await world.identify(world.token(iss=issuer.issuer, **person, hasgroups=True))


def test_groups_can_be_chosen() -> None:
    """One's own templates stand for the preset's."""
    chosen = Common(name="ci", audiences=("a",), bind={"repository_owner": "acme"}, groups=("r/{repository}",))
    assert preset("github-actions", chosen).groups == ("r/{repository}",)


DOMAIN = "acme.example"
ID = f"spiffe://{DOMAIN}/ns/shop/sa/jobs"


def trust_domain() -> tuple[World, OidcIssuer]:
    """A trust domain whose bundle endpoint publishes a key for JWT-SVIDs, and one for X.509-SVIDs."""
    issuer = spiffe(common(jwks_uri="https://spire.acme.example/bundle"), DOMAIN)
    world = World(issuer)
    entries = [{**world.key.as_dict(private=False), "use": "jwt-svid"}, {"kty": "EC", "use": "x509-svid", "x5c": ["x"]}]
    world.web.pages["https://spire.acme.example/bundle"] = world_bundle(*entries)
    return world, issuer


def world_bundle(*entries: object) -> bytes:
    """A bundle (SPIFFE Trust Domain and Bundle §4)."""
    return json.dumps({"keys": entries, "spiffe_sequence": 1, "spiffe_refresh_hint": 300}).encode()


@pytest.mark.parametrize("iss", [None, "https://spire.acme.example", f"spiffe://{DOMAIN}"])
@pytest.mark.parametrize("typ", ["JWT", "JOSE", None])
async def test_a_jwt_svid_is_its_trust_domains(iss: str | None, typ: str | None) -> None:
    """With an issuer, known or not, or none: the subject's trust domain decides whose keys verify it."""
    world, _ = trust_domain()
    header = {"alg": "ES256", "kid": "k1", **({"typ": typ} if typ else {})}
    principal = await world.identify(sign(header, world.claims(iss=iss, sub=ID, aud=["ostiary"]), world.key))
    assert principal.id == f"ci:{ID}"


@pytest.mark.parametrize(
    ("sub", "reason"),
    [
        (f"spiffe://{DOMAIN}", "its subject (sub) is not the SPIFFE ID of a workload"),
        (f"spiffe://{DOMAIN}/", "its subject (sub) is not the SPIFFE ID of a workload"),
        (f"{ID}/", "its subject (sub) is not the SPIFFE ID of a workload"),
        (f"spiffe://{DOMAIN}/ns//sa", "its subject (sub) is not the SPIFFE ID of a workload"),
        (f"spiffe://{DOMAIN}/ns/../sa", "its subject (sub) is not the SPIFFE ID of a workload"),
        (f"spiffe://{DOMAIN}/ns/./sa", "its subject (sub) is not the SPIFFE ID of a workload"),
        (f"spiffe://{DOMAIN}/ns/%61", "its subject (sub) is not the SPIFFE ID of a workload"),
        (f"spiffe://{DOMAIN}/a?b", "its subject (sub) is not the SPIFFE ID of a workload"),
        (f"spiffe://{DOMAIN}/a#b", "its subject (sub) is not the SPIFFE ID of a workload"),
        (f"spiffe://{DOMAIN}:443/a", NOT_OURS),
        (f"spiffe://user@{DOMAIN}/a", NOT_OURS),
        (f"spiffe://{DOMAIN}.evil.example/a", NOT_OURS),
        (f"spiffe://evil.{DOMAIN}/a", NOT_OURS),
        ("spiffe://ACME.example/a", NOT_OURS),
        ("SPIFFE://acme.example/a", NOT_OURS),
        ("https://acme.example/a", NOT_OURS),
        ("", NOT_OURS),
    ],
)
async def test_other_spiffe_ids_are_refused(sub: str, reason: str) -> None:
    """Another trust domain, a look-alike, or no id in the one form that there is."""
    world, _ = trust_domain()
    with pytest.raises(Refused) as caught:
        await world.identify(world.token(iss=None, sub=sub))
    assert reason in caught.value.refusal.message


async def test_a_trust_domain_says_nothing_of_others() -> None:
    """Named as issuer with a subject from elsewhere, it is refused; its keys verify no OIDC issuer's token."""
    world, issuer = trust_domain()
    with pytest.raises(Refused, match="is not the SPIFFE ID of a workload"):
        await world.identify(world.token(iss=issuer.issuer, sub="spiffe://other.example/a"))
    both = World(issuer, OidcIssuer("oidc", "https://issuer.example", ("ostiary",)))
    bundle = "https://spire.acme.example/bundle"
    both.web.pages[bundle] = world.web.pages[bundle]
    assert await both.identify(both.token({}, world.key, iss=None, sub=ID))
    with pytest.raises(Refused, match="its signature is not one of"):
        await both.identify(both.token({}, world.key, sub=ID))
    with pytest.raises(Refused, match="it is of a type"):
        await both.identify(both.token({"typ": "JOSE"}))


@pytest.mark.parametrize("entry", [{"use": "sig"}, {"use": None}, {"use": "x509-svid"}])
async def test_only_keys_for_jwt_svids_verify(entry: Mapping[str, object]) -> None:
    """A bundle's other keys are for other things."""
    world, _ = trust_domain()
    key = {**world.key.as_dict(private=False), **entry}
    world.web.pages["https://spire.acme.example/bundle"] = world_bundle(
        {name: value for name, value in key.items() if value is not None}
    )
    with pytest.raises(Refused, match="its key set has no key that this gateway can use"):
        await world.identify(world.token(iss=None, sub=ID))


async def test_algorithms_of_jwt_svids() -> None:
    """The standard's nine, so no Ed25519."""
    world, issuer = trust_domain()
    assert set(issuer.algorithms) == {f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)}
    with pytest.raises(Refused, match="algorithm is not allowed"):
        await world.identify(world.token({"alg": "EdDSA"}, iss=None, sub=ID))


@pytest.mark.parametrize("name", ["spiffe://acme.example", "acme.example/", "Acme.example", "", "a b", "a:1"])
def test_a_trust_domain_is_a_name(name: str) -> None:
    """Not a URL, and in small letters."""
    with pytest.raises(ValueError, match="trust_domain: write its name alone"):
        spiffe(common(jwks="{}"), name)
