"""Files or a gateway: whoever says it nearer is heard."""

from pathlib import Path

import pytest

from ostiary.cli.common import Context
from ostiary.cli.reach import Reach
from tests.cli.kit import Desk

CONTEXT: Context = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory, nobody logged in."""
    for name in ("OSTIARY_API", "OSTIARY_CONFIG", "OSTIARY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def test_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`-c`, `--api`, OSTIARY_API, OSTIARY_CONFIG, ./ostiary.yaml."""
    assert Reach(CONTEXT).is_local
    (tmp_path / "ostiary.yaml").touch()
    monkeypatch.setenv("OSTIARY_CONFIG", "x.yaml")
    assert Reach(CONTEXT).is_local
    monkeypatch.setenv("OSTIARY_API", "https://gw:1")
    assert not Reach(CONTEXT).is_local
    assert Reach(CONTEXT, config=Path("y.yaml")).is_local
    assert Reach(CONTEXT, config=Path("y.yaml"), api="https://gw:2").is_local
    monkeypatch.delenv("OSTIARY_API")
    assert not Reach(CONTEXT, api="https://gw:2").is_local


def test_what_takes_a_gateway_says_so(desk: Desk) -> None:
    """No configuration will do; without a token there is nothing to ask with."""
    kill = ("sessions", "kill", "5f2c0001", "--reason", "x")
    done = desk.run(*kill, bare=True)
    assert (done.code, done.err.splitlines()[0]) == (2, "error: this takes a running gateway, and no API is named")
    done = desk.run(*kill, "--api", "https://gw.example:8443", bare=True)
    assert (done.code, done.err.splitlines()[0]) == (2, "error: no token to do it with")
    done = desk.run(*kill, "--api", "http://gw.example:8443", bare=True, env={"OSTIARY_TOKEN": "x"})
    assert (done.code, done.err.splitlines()[0]) == (2, "error: the API's address is written https://HOST:PORT")
