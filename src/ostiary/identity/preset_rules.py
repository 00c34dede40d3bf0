"""What a preset looks at besides the bindings: whose code is running behind this token?

A workflow of a pull request may run code of a stranger while its token names the repository that the request was made
to. Each rule is lifted by binding the claim it looks at: then the operator has said what is wanted.
"""

from collections.abc import Mapping

from ostiary.gate.ports import Refused
from ostiary.identity.claims import find_claim
from ostiary.identity.refuse import refused

Claims = Mapping[str, object]


def _stranger(what: str, claim: str) -> Refused:
    return refused(
        f"it is of {what}, which may run a stranger's code",
        f'run the job on a push to a branch of your own; to allow it all the same, bind the claim "{claim}"',
    )


def refuse_github_pull_requests(claims: Claims) -> None:
    """`event_name` is there, and no pull request's. Raises Refused."""
    event = claims.get("event_name")
    if not isinstance(event, str) or event.startswith("pull_request"):
        raise _stranger("a pull request, or of no known event", "event_name")


def refuse_gitlab_merge_requests(claims: Claims) -> None:
    """`pipeline_source` is there, and no merge request's. Raises Refused."""
    source = claims.get("pipeline_source")
    if not isinstance(source, str) or source in ("merge_request_event", "external_pull_request_event"):
        raise _stranger("a merge request, or of no known source", "pipeline_source")


def refuse_other_branches_of_forks(claims: Claims) -> None:
    """Buildkite names a fork's branch `user:branch`; no branch of one's own can have a colon. Raises Refused."""
    branch = claims.get("build_branch")
    if not isinstance(branch, str) or ":" in branch:
        raise _stranger("a fork's branch, or of no known branch", "build_branch")


def refuse_circleci_forks_and_shells(claims: Claims) -> None:
    """No pull request's ref, and nobody has a shell in the job. Raises Refused."""
    ref = claims.get("oidc.circleci.com/vcs-ref")
    if isinstance(ref, str) and ref.startswith("refs/pull/"):
        raise _stranger("a pull request", "oidc.circleci.com/vcs-ref")
    if claims.get("oidc.circleci.com/ssh-rerun") is True:
        raise refused(
            "it is of a job that was run again with SSH, where a person has a shell", "run the job without SSH"
        )


def refuse_delegated_tokens(claims: Claims) -> None:
    """An access token that an application got from Entra for itself: it names one, and no scope of a person's.

    Raises:
        Refused: It is another.
    """
    refuse_lost_groups(claims)
    if "scp" in claims or not any(isinstance(claims.get(name), str) for name in ("azp", "appid")):
        raise refused(
            "it speaks for a person, and this issuer is for workloads",
            "use a token of a managed identity, or configure an issuer with kind: human",
        )


def refuse_lost_groups(claims: Claims) -> None:
    """All groups of the caller are in the token, not somewhere else to be asked for. Raises Refused."""
    if "_claim_names" in claims or "hasgroups" in claims:
        raise refused(
            "its caller is in more groups than the token holds",
            "have the issuer send app roles, or assigned groups only",
        )


def service_account_of_its_namespace(claims: Claims) -> None:
    """A Kubernetes subject and the claims that groups are made of tell of the same account. Raises Refused."""
    parts = [find_claim(claims, f"/kubernetes.io/{name}") for name in ("namespace", "serviceaccount/name")]
    if claims.get("sub") != f"system:serviceaccount:{parts[0]}:{parts[1]}":
        raise refused(
            "its subject is not the service account that its claims tell of", "use a projected token of the pod"
        )
