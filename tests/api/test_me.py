"""`GET /me`: a caller about itself."""

import time
from pathlib import Path

import pytest

from ostiary.accounts.issued import TOKEN_CLAIM
from ostiary.core import Principal, PrincipalKind
from tests.api.kit import Api, People, serving


async def test_who_asks(api: Api) -> None:
    """Whom the token proves, how, until when, and what policy permits on the gateway itself; no permit is needed."""
    said = (await api.get("/me", "t-ops")).json()
    assert said.pop("expires_at") == said.pop("session_until")
    assert said == {
        "principal": "ci:olga",
        "kind": "human",
        "issuer": "ci",
        "subject": "olga",
        "groups": ["ops"],
        "proof": "oidc",
        "client": None,
        "may": ["view"],
    }
    assert (await api.get("/me", "t-eve")).json()["may"] == []
    assert (await api.get("/me", "t-audit")).json()["may"] == ["view", "audit"]
    assert (await api.get("/me", None)).status_code == 401


@pytest.mark.parametrize(
    ("issuer", "claims", "proof", "client"),
    [
        ("ci", {TOKEN_CLAIM: "jti", "client_id": "ostiary-cli"}, "access-token", "ostiary-cli"),
        ("service-accounts", {"key": "k1"}, "service-account-key", None),
        ("service-accounts", {TOKEN_CLAIM: "jti", "client_id": "billing"}, "access-token", "billing"),
        ("ci", {"client_id": "of another issuer"}, "oidc", None),
        ("gone", {}, "", None),
    ],
)
async def test_how_it_was_proven(
    issuer: str,
    claims: dict[str, str],
    proof: str,
    client: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a token of the gateway's own, by a key of a service account, or as the issuer's type has it."""
    end = time.time() + 600
    who = Principal(PrincipalKind.WORKLOAD, issuer, "job", frozenset(), end, end, "jti", claims)

    async def identify(*_: object) -> Principal:
        return who

    monkeypatch.setattr(People, "identify", identify)
    async with serving(tmp_path / "gateway") as api:
        said = (await api.get("/me")).json()
    assert (said["proof"], said["client"], said["kind"]) == (proof, client, "workload")
