"""The composition root: what a configuration points at is checked with its place; what fails leaves nothing open."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from ostiary import config
from ostiary.app import watch
from ostiary.app.adoption import Adoption
from ostiary.app.check import problems_of
from ostiary.app.serve import Running, start
from ostiary.credentials import SecretUnavailable
from ostiary.recording import KeyProblem, State, TrustedKeys, verify_all
from ostiary.runtime.listener import Listener
from ostiary.runtime.local_tls import server_context
from ostiary.store import StoreError
from tests.cli.kit import CONFIG, Desk
from tests.identity.certificate_kit import Authority


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A configuration in a directory of its own."""
    return Desk(tmp_path / "gateway")


def problems(desk: Desk, *changes: tuple[str, str]) -> list[str]:
    """What is wrong with the configuration after these replacements; places without their directory."""
    text = CONFIG
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    desk.config.write_text(text)
    return [problem.replace(f"{desk.home}/", "") for problem in problems_of(config.load(desk.config))]


# ---------------------------------------------------------------- check


def test_nothing_is_wrong_and_nothing_is_made(desk: Desk) -> None:
    """A check leaves no file behind."""
    before = sorted(desk.home.rglob("*"))
    assert problems(desk) == []
    assert sorted(desk.home.rglob("*")) == before


def test_policies(desk: Desk) -> None:
    """Each with its own place; a group that nobody is in is named."""
    assert problems(desk, ("dba:", "others:")) == [
        'policies/all.cedar:2: @approval("dba"): no such group under `approvals`'
    ]
    assert problems(desk, ("policies: policies", "policies: nowhere")) == [
        "nowhere: can't be read: No such file or directory"
    ]


def test_issuers(desk: Desk) -> None:
    """Files of keys that are missing, or hold none, with the issuer's line."""
    wanted = ("audience: x}", "audience: x, jwks_file: keys.json}")
    assert problems(desk, wanted) == ["ostiary.yaml:6: issuer ci: keys.json can't be read: No such file or directory"]
    (desk.home / "keys.json").write_text('{"keys": []}')
    assert problems(desk, wanted) == [
        'ostiary.yaml:6: issuer ci: keys.json: no key in it can be used; it must be for "sig"'
    ]


def test_issuers_with_files(desk: Desk) -> None:
    """Metadata and bundles that are missing or hold something else, and issuers that can't be told apart."""
    corp = "  - {name: corp, type: saml, entity_id: 'urn:idp', metadata: corp.xml, audience: a, recipient: b}\n"
    pki = "  - {name: pki, type: x509, ca: ca.pem}\n"
    both = ("targets:", f"{corp}{pki}targets:")
    line = next(number for number, text in enumerate(CONFIG.split("\n"), 1) if text.startswith("targets:"))
    assert problems(desk, both) == [
        f"ostiary.yaml:{line}: issuer corp: corp.xml can't be read: No such file or directory",
        f"ostiary.yaml:{line + 1}: issuer pki: ca.pem can't be read: No such file or directory",
    ]
    (desk.home / "corp.xml").write_text("x")
    root = Authority("root").write(desk.home / "ca.pem")
    assert problems(desk, both) == [f"ostiary.yaml:{line}: issuer corp: corp.xml is not XML"]
    twice = ("targets:", f"{pki}{pki.replace('pki', 'pki2')}targets:")
    (problem,) = problems(desk, twice)
    assert problem.endswith('issuers: issuer "pki2": "pki" trusts the same authority')
    listed = ("targets:", f"{pki.replace('ca.pem', 'ca.pem, crl: ca.crl')}targets:")
    assert problems(desk, listed)[0].endswith("issuer pki: ca.crl can't be read: No such file or directory")
    (desk.home / "ca.crl").write_text("x")
    assert "crl: ca.crl: it is not a certificate revocation list" in problems(desk, listed)[0]
    root.write_text("x")
    assert "is not a PEM file of certificates" in problems(desk, ("targets:", f"{pki}targets:"))[0]


def test_secrets(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of targets, of masking, of the state store: the source and the line, never the value."""
    monkeypatch.delenv("OSTIARY_TEST_NONE", raising=False)
    monkeypatch.setenv("OSTIARY_TEST_SHORT", "canary")
    secret = "{env: OSTIARY_TEST_NONE}"
    missing = "environment variable OSTIARY_TEST_NONE is not set; set it where the gateway is started"
    assert problems(desk, ("username: app", f"username: app, password: {secret}")) == [
        f"ostiary.yaml:12: target orders: {missing}"
    ]
    assert problems(desk, ("state: sqlite:state.db", f"state: {secret}")) == [
        f"ostiary.yaml:2: server.state: {missing}"
    ]
    assert problems(desk, ("tls: auto", f"tls: auto\n  masking_key: {secret}")) == [
        f"ostiary.yaml:4: server.masking_key: {missing}"
    ]
    hashing = ("approvals:", "masking: {a: {transform: hash}}\napprovals:")
    short = problems(desk, ("tls: auto", "tls: auto\n  masking_key: {env: OSTIARY_TEST_SHORT}"), hashing)
    assert [problem.split(": ")[0] for problem in short] == ["ostiary.yaml:4"]
    assert "canary" not in str(short)


def test_certificates(desk: Desk) -> None:
    """Of the listener and towards targets: missing, unfit, or not belonging together."""
    pair = ("tls: auto", "tls: {cert: gw.crt, key: gw.key}")
    (missing,) = problems(desk, pair)
    assert missing.startswith("ostiary.yaml:3: server.tls: ")
    assert "No such file or directory" in missing
    for name in ("gw.crt", "gw.key"):
        (desk.home / name).write_text("no PEM")
    (unfit,) = problems(desk, pair)
    assert unfit.startswith("ostiary.yaml:3: server.tls: not a certificate and its key in PEM form")
    for place in ("one", "two"):
        (desk.home / place).mkdir()
        server_context(None, None, desk.home / place)
    mixed = ("tls: auto", "tls: {cert: one/gateway.crt, key: two/gateway.key}")
    assert problems(desk, mixed)[0].startswith("ostiary.yaml:3: server.tls: not a certificate and its key")
    fitting = ("tls: auto", "tls: {cert: one/gateway.crt, key: one/gateway.key}")
    assert problems(desk, fitting) == []
    (authority,) = problems(desk, ("tls: {mode: disable}", "tls: {ca: ca.pem}"))
    assert authority.startswith("ostiary.yaml:11: tls: ")


def test_keys_and_directories(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording key that others may read; directories that can't be written to."""
    desk.record("5f2c0001", "quiet")
    key = desk.home / "recording.key"
    key.chmod(0o640)
    (opened,) = problems(desk)
    assert opened.startswith("ostiary.yaml:1: recording.key: the recording key is open to other users")
    key.chmod(0o600)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = problems(desk, ("tls: auto", "tls: auto\n  recordings: file:///nowhere/at/all"))
    assert found == [
        "ostiary.yaml:4: server.recordings: / can't be written to by this user",
        f"ostiary.yaml:1: server.recording_key: {desk.home} can't be written to by this user",
    ]


# ---------------------------------------------------------------- start and stop


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Listeners that open no socket; what they did."""
    told: list[str] = []

    async def listen(self: Listener, host: str, port: int, **_: object) -> int:
        del self
        told.append(f"{host}:{port}")
        return 4711

    async def stop(self: Listener, seconds: float = 30.0) -> None:
        del self
        told.append(f"stopped within {seconds:.0f} s")

    monkeypatch.setattr(Listener, "start", listen)
    monkeypatch.setattr(Listener, "stop", stop)
    return told


def settings(desk: Desk) -> config.Settings:
    """Of the configuration as it is."""
    return config.load(desk.config)


def others() -> set["asyncio.Task[object]"]:
    """Tasks beside the test's own."""
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_start_and_stop(desk: Desk, deaf: list[str]) -> None:
    """It listens where it should; stopped, it has sealed its log of heads and left no task behind."""
    running = await start(settings(desk))
    assert isinstance(running, Running)
    assert running.ports == {"postgres": 4711}
    assert len(others()) >= 2
    await running.stop()
    assert deaf == ["127.0.0.1:0", "stopped within 35 s"]
    assert others() == set()
    keys = TrustedKeys.load(desk.home / "recordings")
    assert {verdict.state for verdict in verify_all(desk.home / "recordings", keys)} <= {State.INTACT}


@pytest.mark.usefixtures("deaf")
async def test_a_policy_that_changes_while_the_gateway_starts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noticed, though it was changed after it was read and before anything looked for changes."""
    reloaded = asyncio.Event()
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(Adoption, "adopt", lambda self, settings: reloaded.set())

    async def listen(self: Listener, host: str, port: int, **_: object) -> int:
        (desk.home / "policies" / "all.cedar").write_text("permit (principal, action, resource);")
        return 4711

    monkeypatch.setattr(Listener, "start", listen)
    running = await start(settings(desk))
    try:
        async with asyncio.timeout(5):
            await reloaded.wait()
    finally:
        await running.stop()


async def test_a_listener_that_does_not_end_keeps_nothing_else_up(
    desk: Desk, deaf: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is taken down all the same."""
    running = await start(settings(desk))

    async def stop(self: Listener, seconds: float = 30.0) -> None:
        raise TimeoutError

    monkeypatch.setattr(Listener, "stop", stop)
    await running.stop()
    assert others() == set()
    assert deaf == ["127.0.0.1:0"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.EADDRINUSE, "error while attempting to bind on address"), "Address already in use"),
        (PermissionError(errno.EACCES, "error while attempting to bind"), "Permission denied"),
        (OSError("[Errno -2] Name or service not known"), r"\[Errno -2\] Name or service not known"),
    ],
)
async def test_a_port_that_can_not_be_had(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: OSError, sentence: str
) -> None:
    """The address, the reason and the next step; nothing is left open."""

    async def listen(self: Listener, host: str, port: int, **_: object) -> int:
        raise error

    monkeypatch.setattr(Listener, "start", listen)
    with pytest.raises(
        OSError, match=rf"^127\.0\.0\.1:0 can't be listened on: {sentence}; another address goes into server\.listen$"
    ):
        await start(settings(desk))
    assert others() == set()


@pytest.mark.parametrize(
    ("break_it", "error"),
    [
        (lambda home: (home / "recording.key").write_text("no key"), KeyProblem),
        (lambda home: (home / "state.db").mkdir(), StoreError),
        (lambda home: (home / "policies" / "all.cedar").write_text("permit (x);"), ValueError),
        (lambda home: (home / "recordings").touch(), OSError),
    ],
)
async def test_what_keeps_it_from_starting(
    desk: Desk, deaf: list[str], break_it: object, error: type[Exception]
) -> None:
    """The room's own error; no socket was opened, nothing is left open."""
    assert callable(break_it)
    break_it(desk.home)
    with pytest.raises(error):
        await start(settings(desk))
    assert deaf == []
    assert others() == set()


async def test_secrets_are_read_when_it_starts(desk: Desk, deaf: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The masking key and the state store's URL."""
    monkeypatch.delenv("OSTIARY_TEST_NONE", raising=False)
    for setting in ("masking_key: {env: OSTIARY_TEST_NONE}", "state: {env: OSTIARY_TEST_NONE}"):
        desk.config.write_text(CONFIG.replace("  state: sqlite:state.db\n", f"  {setting}\n"))
        with pytest.raises(SecretUnavailable, match="OSTIARY_TEST_NONE"):
            await start(settings(desk))
    assert deaf == []
