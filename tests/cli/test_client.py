"""The commands that run beside a program: what they print, and how they end."""

from pathlib import Path

import pytest

from tests.cli.kit import Desk
from tests.client.kit import jwt

#: Far enough away for the machine's own clock.
TOKEN = jwt(exp=4_000_000_000)


@pytest.fixture(autouse=True)
def nothing_ambient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The identity and the settings of whoever runs the tests are not theirs."""
    for name in ("OSTIARY_TOKEN_FILE", "OSTIARY_AUDIENCE", "OSTIARY_ISSUER", "OSTIARY_TOKEN_SOURCE", "CI", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ACTIONS_ID_TOKEN_REQUEST_URL", "GITHUB_ACTIONS", "SPIFFE_ENDPOINT_SOCKET", "OSTIARY_CLIENT_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_the_token_and_nothing_else_goes_to_a_pipe(desk: Desk) -> None:
    """One line on standard output, none on the other."""
    done = desk.run("token", env={"OSTIARY_TOKEN": TOKEN}, bare=True)
    assert (done.code, done.out, done.err) == (0, f"{TOKEN}\n", "")


def test_a_program_is_told_more(desk: Desk) -> None:
    """As JSON with its end and its source."""
    told = desk.run("token", "-o", "json", env={"OSTIARY_TOKEN": TOKEN}, bare=True).json
    assert told == {
        "token": TOKEN,
        "source": "the variable OSTIARY_TOKEN",
        "issuer": "https://ci.example",
        "audiences": ["ostiary"],
        "expires_at": "2096-10-02T07:06:40+00:00",
    }


def test_a_token_for_somebody_else_is_not_printed(desk: Desk) -> None:
    """Refused, with the reason; the token is in neither stream."""
    done = desk.run("token", "--audience", "else", env={"OSTIARY_TOKEN": TOKEN}, bare=True)
    assert done.code == 3
    assert done.out == ""
    assert 'it is meant for "ostiary", not for "else"' in done.err
    assert TOKEN not in done.err


def test_where_nothing_is_found_each_place_is_named(desk: Desk) -> None:
    """What was looked for, then the error."""
    done = desk.run("token", "--source", "github", bare=True)
    assert (done.code, done.out) == (3, "")
    assert done.err.splitlines()[:2] == [
        "github: ACTIONS_ID_TOKEN_REQUEST_URL is not set",
        "error: no ambient identity was found",
    ]


def test_a_client_file_that_can_not_be_used(desk: Desk, tmp_path: Path) -> None:
    """Exit code 2 and the file's name."""
    path = tmp_path / "client.yaml"
    path.write_text("verify: false\n")
    done = desk.run("token", env={"OSTIARY_CLIENT_CONFIG": str(path)}, bare=True)
    assert done.code == 2
    assert f"{path}: Object contains unknown field `verify`" in done.err
