"""What a shell is offered at a TAB."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ostiary
from ostiary.cli import complete
from ostiary.client.api import Answer, Api
from ostiary.client.saved import SavedLogins
from tests.cli.kit import HOSTILE, Desk
from tests.client.test_saved import API, login

_HOSTILE = (
    "$(touch x)",
    "`x`",
    "a b",
    "a;b",
    "a'b",
    'a"b',
    "a\nb",
    "-rf",
    "../x",
    "a:b",
    "a*",
    HOSTILE,
    "\u0430b",
    "x" * 200,
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is logged in, and there is no configuration."""
    for name in ("OSTIARY_API", "OSTIARY_TOKEN", "OSTIARY_CONFIG", "OSTIARY_CA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What gateways are asked; each has one of everything."""
    paths: list[str] = []

    def send(self: Api, method: str, path: str, **_: object) -> Answer:
        token = self._token() if callable(self._token) else self._token
        paths.append(f"{method} {self._url}{path} {token.reveal_text()}")
        member = {"/targets": "name", "/sessions": "session_id", "/approvals": "code"}[path]
        return Answer({"items": [{member: name} for name in ("ORDERS", *_HOSTILE, "STOCK")]})

    monkeypatch.setattr(Api, "send", send)
    return paths


def context(**parameters: Any) -> Any:
    """Of a command that reads files of a configuration, too."""
    return SimpleNamespace(params={"config": None, "api": None, "ca": None, **parameters})


def run(desk: Desk, words: str, at: int, **variables: str) -> list[str]:
    """As bash asks."""
    done = desk.run(
        bare=True, env={"_OSTIARY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at), **variables}
    )
    assert (done.code, done.err) == (0, "")
    return done.out.split()


def test_commands_and_options(desk: Desk) -> None:
    """Groups, commands of a group, options."""
    assert run(desk, "ostiary ser", 1) == ["service-accounts", "serve"]
    assert "replay" in run(desk, "ostiary sessions ", 2)
    assert run(desk, "ostiary --ver", 1) == ["--version"]
    assert "--no-browser" in run(desk, "ostiary login --", 2)


def test_names_of_the_configuration(desk: Desk) -> None:
    """Targets, and recordings by name alone, newest first."""
    here = {"OSTIARY_CONFIG": str(desk.config)}
    desk.record("5f2c0001")
    desk.record("5f2c0002")
    desk.record("aaaa0003")
    assert run(desk, "ostiary targets show ", 3, **here) == ["orders"]
    assert run(desk, "ostiary connect or", 2, **here) == ["orders"]
    assert sorted(run(desk, "ostiary sessions replay 5f", 3, **here)) == ["5f2c0001", "5f2c0002"]
    assert run(desk, "ostiary approvals approve ", 3, **here) == []


def test_hostile_names_are_not_offered(tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell would evaluate them; neither those of a file nor those of a gateway."""
    (tmp_path / "ostiary.yaml").write_text(
        "targets:\n" + "".join(f"  - name: {name!a}\n" for name in ("ok", *_HOSTILE))
    )
    assert complete.targets(context(), "") == ["ok"]
    monkeypatch.setenv("OSTIARY_TOKEN", "token")
    assert complete.targets(context(api="https://gw.example"), "") == ["ORDERS", "STOCK"]
    assert asked == ["GET https://gw.example/api/v1/targets token"]


def test_the_gateway_of_the_login(tmp_path: Path, asked: list[str]) -> None:
    """With its token as it is: a TAB renews nothing. A configuration that is nearer is asked instead."""
    logins = SavedLogins(tmp_path / "state" / "ostiary")
    ended = login(seconds=-1e9)
    logins.save(ended)
    assert complete.approvals(context(), "") == []
    logins.save(login(seconds=4_000_000_000.0))
    assert complete.approvals(context(), "st") == ["STOCK"]
    assert complete.sessions(context(), "ORD") == ["ORDERS"]
    assert complete.targets(context(api=f"{API}/"), "") == ["ORDERS", "STOCK"]
    assert {each.split("/api/v1")[0] for each in asked} == {f"GET {API}"}
    del asked[:]
    assert complete.targets(context(api="https://other.example"), "") == []
    assert complete.targets(context(config=tmp_path / "other.yaml"), "") == []
    (tmp_path / "ostiary.yaml").write_text("targets: [{name: here}]")
    assert complete.targets(context(), "") == ["here"]
    assert asked == []


@pytest.mark.parametrize("text", ["", "[", "targets: 5", "targets: [{}]", "targets: [5]", "server: 5", "\x00"])
def test_what_can_not_be_read_is_silent(text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is offered, nothing is said."""
    (tmp_path / "ostiary.yaml").write_text(text)
    for offer in (complete.targets, complete.sessions, complete.approvals):
        assert offer(context(), "") == []
    assert capfd.readouterr() == ("", "")


def test_a_gateway_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a bound, and then nothing is offered."""
    monkeypatch.setattr(complete, "_SECONDS", 0.05)
    over = threading.Event()

    def send(*_: object, **__: object) -> Answer:
        over.wait(30)
        return Answer({"items": [{"name": "late"}]})

    monkeypatch.setattr(Api, "send", send)
    monkeypatch.setenv("OSTIARY_TOKEN", "token")
    try:
        assert complete.targets(context(api="https://gw.example"), "") == []
    finally:
        over.set()


def test_scripts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three shells."""
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    for shell, word in (
        ("bash", "complete -o default -F"),
        ("zsh", "#compdef ostiary"),
        ("fish", "complete --command"),
    ):
        assert word in desk.run("--show-completion", shell, bare=True).out


def test_in_bash(tmp_path: Path) -> None:
    """The script that it prints, in a real shell that was found by itself; a hostile name of a target does nothing."""
    program = tmp_path / "ostiary"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ostiary "$@"\n')
    program.chmod(0o755)
    (tmp_path / "ostiary.yaml").write_text("targets: [{name: orders}, {name: '$(touch pwned)'}]")
    script = """\
    eval "$(ostiary --show-completion)"
    COMP_WORDS=(ostiary targets show ""); COMP_CWORD=3; _ostiary_completion ostiary; echo "${COMPREPLY[*]}"
    COMP_WORDS=(ostiary whoa); COMP_CWORD=1; _ostiary_completion ostiary; echo "${COMPREPLY[*]}"
    """
    sources = str(Path(ostiary.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": sources, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("orders\nwhoami\n", "")
    assert not (tmp_path / "pwned").exists()
