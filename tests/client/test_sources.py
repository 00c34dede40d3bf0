"""Ambient identities that are files and variables; those that are asked over a socket are in tests/real."""

import sys
from pathlib import Path

import pytest

from ostiary.client.sources import KUBERNETES_FILES, Kind, NoIdentity, Wanted, find
from ostiary.client.token import read
from ostiary.core import Secret
from ostiary.gate.ports import Refused
from tests.client.kit import NOW, jwt, surroundings
from tests.identity.aws_kit import KEYS, AwsWorld

WANTED = Wanted("ostiary")


def mounted(root: Path, name: str, text: str) -> Path:
    """A file where Kubernetes would mount it."""
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


async def refused(wanted: Wanted, *args: object) -> NoIdentity:
    """There is no token."""
    with pytest.raises(NoIdentity) as caught:
        await find(wanted, surroundings(*args))  # type: ignore[arg-type]
    return caught.value


async def test_every_source_that_was_asked_says_why_it_is_not_it(tmp_path: Path) -> None:
    """Without any identity each source has a line, in the order they are asked."""
    error = await refused(WANTED, {}, tmp_path)
    assert [line.partition(":")[0] for line in error.looked] == list(Kind)
    assert "OSTIARY_TOKEN" in error.hint


async def test_a_variable() -> None:
    """OSTIARY_TOKEN, or the one that is named; space around it is not part of it."""
    found = await find(WANTED, surroundings({"OSTIARY_TOKEN": f" {jwt()}\n"}))
    assert found.secret == Secret(jwt())
    assert (found.issuer, found.audiences, found.expires_at) == ("https://ci.example", ("ostiary",), NOW + 60)
    named = Wanted("ostiary", source=Kind.ENV, variable="MINE")
    assert (await find(named, surroundings({"MINE": "opaque"}))).secret == Secret("opaque")


async def test_a_file(tmp_path: Path) -> None:
    """OSTIARY_TOKEN_FILE comes before everything else."""
    path = tmp_path / "token"
    path.write_text(jwt(sub="file"))
    found = await find(WANTED, surroundings({"OSTIARY_TOKEN_FILE": str(path), "OSTIARY_TOKEN": jwt()}))
    assert found.secret == Secret(jwt(sub="file"))


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": NOW - 3}, "it ended 3 seconds ago"),
        ({"aud": "https://kubernetes.default.svc"}, 'meant for "https://kubernetes.default.svc"'),
        ({"aud": []}, "it is meant for nobody"),
        ({"aud": "ostiary-2"}, 'not for "ostiary"'),
    ],
)
async def test_a_token_that_is_of_no_use_ends_the_search(claims: dict[str, object], why: str) -> None:
    """A job never goes on with another identity than the one it was given."""
    error = await refused(WANTED, {"OSTIARY_TOKEN": jwt(**claims), "GITHUB_ACTIONS": "true"})
    assert why in str(error)
    assert [line.partition(":")[0] for line in error.looked] == ["file"]


async def test_the_issuer_chooses_among_tokens(tmp_path: Path) -> None:
    """With an issuer, tokens of others are passed over, and what is no JWT too."""
    mounted(tmp_path, KUBERNETES_FILES[0], jwt(iss="https://cluster.example"))
    here = surroundings({"OSTIARY_TOKEN": jwt()}, tmp_path)
    found = await find(Wanted("ostiary", "https://cluster.example"), here)
    assert found.source == KUBERNETES_FILES[0]
    error = await refused(Wanted("ostiary", "https://other.example"), {"OSTIARY_TOKEN": "opaque"}, tmp_path)
    assert any("its issuer can't be told" in line for line in error.looked)


@pytest.mark.parametrize("text", ["", " \n", "two words", "tok\x00en", "t\u00f6ken", "x" * 70_000])
async def test_what_is_no_token_is_refused_without_being_shown(text: str) -> None:
    """A file or variable that holds something else is told by what is wrong with it."""
    if "\0" in text:
        with pytest.raises(ValueError, match="characters that no token has"):
            read(Secret(text), "x")
        return
    error = await refused(Wanted("ostiary", source=Kind.ENV), {"OSTIARY_TOKEN": text})
    assert not text.strip() or text.strip() not in f"{error} {error.looked}"


@pytest.mark.parametrize("middle", ["!!!", "W10", "bnVsbA", "e30", "ew", "eyJleHAiOiBOYU59"])
def test_claims_that_make_no_sense_are_not_claims(middle: str) -> None:
    """Nothing that stands in a token makes reading it fail."""
    found = read(Secret(f"a.{middle}.b"), "x")
    assert (found.issuer, found.expires_at, found.audiences) == (None, None, ())


async def test_gitlab_finds_the_entry_for_this_audience() -> None:
    """Among `id_tokens` of any name, the one of this GitLab's and for this audience."""
    environment = {
        "GITLAB_CI": "true",
        "CI_SERVER_URL": "https://gitlab.example",
        "A_VAULT": jwt(iss="https://gitlab.example", aud="vault"),
        "B_OTHER": jwt(iss="https://else.example"),
        "C_MINE": jwt(iss="https://gitlab.example", aud=["x", "ostiary"]),
        "CI_JOB_TOKEN": jwt(iss="https://gitlab.example"),
    }
    found = await find(WANTED, surroundings(environment))
    assert found.source == "GitLab CI (C_MINE)"
    del environment["C_MINE"]
    assert "`aud: ostiary`" in str(await refused(WANTED, environment))


async def test_kubernetes_never_hands_out_the_token_of_the_api_server(tmp_path: Path) -> None:
    """The token that is in every pod opens the cluster's API; it is for another audience, so it stays where it is."""
    mounted(tmp_path, KUBERNETES_FILES[1], jwt(aud=["https://kubernetes.default.svc.cluster.local"]))
    error = await refused(WANTED, {}, tmp_path)
    assert any(line.startswith("kubernetes:") and "it is meant for" in line for line in error.looked)
    mounted(tmp_path, KUBERNETES_FILES[0], jwt(sub="projected"))
    assert (await find(WANTED, surroundings({}, tmp_path))).secret == Secret(jwt(sub="projected"))


async def test_a_workflow_without_permission_is_told_so() -> None:
    """On GitHub without `id-token: write`, the sentence says what to write."""
    assert "id-token: write" in str(await refused(WANTED, {"GITHUB_ACTIONS": "true"}))


@pytest.mark.parametrize("url", ["http://pipelines.example/token", "ftp://x", "http://127.0.0.1.example/", "http://["])
async def test_a_bearer_is_not_sent_in_the_clear(url: str) -> None:
    """GitHub's request token goes over https alone."""
    here = {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token"}
    error = await refused(WANTED, here)
    assert "GitHub" in str(error)
    assert "address" in str(error)
    assert "request-token" not in f"{error}{error.hint}{error.looked}"


async def test_without_the_extra_spiffe_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SPIFFE client is an optional extra."""
    monkeypatch.setitem(sys.modules, "spiffe", None)
    error = await refused(WANTED, {"SPIFFE_ENDPOINT_SOCKET": "unix:///run/spire.sock"})
    assert "pip install 'ostiary[spiffe]'" in str(error)


async def test_aws_signs_what_the_gateway_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof for this audience and region, whose signature the gateway's own issuer of AWS verifies."""
    world = AwsWorld(regions=("eu-central-1",))
    given = {
        "AWS_ACCESS_KEY_ID": KEYS.access_key,
        "AWS_SECRET_ACCESS_KEY": KEYS.secret_key,
        "AWS_SESSION_TOKEN": KEYS.token,
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    found = await find(Wanted("gw.example.com"), surroundings(given))
    assert (await world.identify(found.secret.reveal_text())).subject.endswith(":role/deploy")
    assert [host for host, _ in world.sts.asked] == ["sts.eu-central-1.amazonaws.com"]
    assert found.expires_at == NOW + 60
    other = await find(Wanted("gw2.example.com"), surroundings(given))
    with pytest.raises(Refused):
        await world.identify(other.secret.reveal_text())
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    error = await refused(Wanted("gw.example.com", source=Kind.AWS), {})
    assert "botocore found no credentials" in str(error)


async def test_without_the_extra_aws_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signing library is an optional extra."""
    monkeypatch.delitem(sys.modules, "ostiary.client.aws", raising=False)
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    monkeypatch.delattr("ostiary.client.aws", raising=False)
    error = await refused(WANTED, {"AWS_PROFILE": "x"})
    assert "pip install 'ostiary[aws]'" in str(error)


async def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """Nothing waits for somebody to write: only regular files are read."""
    error = await refused(Wanted("ostiary", source=Kind.FILE, file=str(tmp_path)), {})
    assert "is no file" in str(error)
    error = await refused(Wanted("ostiary", source=Kind.FILE, file=str(tmp_path / "none")), {})
    assert "No such file" in str(error)
