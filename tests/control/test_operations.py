"""The use-cases, without the command line."""

from pathlib import Path

import pytest

from ostiary.control import Operations, TargetView
from ostiary.core import Operation, PrincipalKind, Secret, Verdict
from ostiary.gate.ports import Refused
from ostiary.recording import KeyProblem, NoSuchSession, Signer, State
from tests.cli.kit import CONFIG, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A configuration in a directory of its own."""
    return Desk(tmp_path / "gateway")


@pytest.fixture
def operations(desk: Desk) -> Operations:
    """Its use-cases."""
    return desk.operations(desk.config)


def test_targets_in_order_and_without_secrets(desk: Desk) -> None:
    """By name; what the credential is, not what it says."""
    more = (
        "  - {name: a, protocol: postgres, address: 'h:1', credential: {type: postgres-role, admin: {username: x}}}\n"
    )
    desk.config.write_text(CONFIG.replace("policies: p", more + "policies: p"))
    found = desk.operations(desk.config).list_targets()
    assert [(view.name, view.credential, view.tls) for view in found] == [
        ("a", "postgres-role", "verify-full"),
        ("orders", "static", "disable"),
    ]
    assert found[1] == TargetView("orders", "postgres", "db.internal:5432", "orders", "disable", "static", {})


def test_a_principal_to_ask_about(operations: Operations) -> None:
    """The subject may hold colons; a name that names nobody is an error; it opens nothing."""
    principal = operations.principal("github:repo:acme/shop", ["app"], "human")
    assert (principal.issuer, principal.subject, principal.kind) == ("github", "repo:acme/shop", PrincipalKind.HUMAN)
    assert principal.session_until == 0.0
    for wrong in ("", ":", "a:", ":b", "ab"):
        with pytest.raises(ValueError, match="is no principal: write issuer:subject"):
            operations.principal(wrong, [])


async def test_deciding_takes_a_token_that_is_believed(operations: Operations) -> None:
    """The token alone says who decides."""
    assert (await operations.approver(Secret("t-dana"))).id == "ci:dana"
    with pytest.raises(Refused):
        await operations.approver(Secret("t-nobody"))


def test_explanations(operations: Operations) -> None:
    """Of a statement and of one access; by the policies as they are on disk now."""
    job = operations.principal("ci:job", ["app"])
    target = operations.targets["orders"]
    assert operations.explain_sql(job, target, "DROP TABLE public.t").ruling.verdict is Verdict.HOLD
    assert operations.explain_access(job, target, Operation.READ, "public.t").ruling.verdict is Verdict.ALLOW
    (operations.policies / "more.cedar").write_text('@id("no") forbid (principal, action, resource);')
    assert operations.explain_access(job, target, Operation.READ, "public.t").ruling.rules == ("no",)


def test_whose_recordings_are_believed(desk: Desk, operations: Operations, tmp_path: Path) -> None:
    """The keys given; else our own; else the one beside the recordings. None is made by asking."""
    with pytest.raises(OSError, match=r"recording\.pub"):
        operations.trusted_keys()
    assert not operations.recording_key.exists()
    desk.record("5f2c0001", "quiet")
    own, where = operations.trusted_keys()
    assert (len(own.by_fingerprint), where) == (1, str(operations.recording_key))
    stranger = Signer.load(tmp_path / "stranger.key")
    (tmp_path / "other").mkdir()
    stranger.publish(tmp_path / "other")
    other, _ = operations.trusted_keys([tmp_path / "other"])
    assert set(other.by_fingerprint) == {stranger.fingerprint}
    assert {verdict.state for verdict in operations.verify(other, lambda done, total: None)} == {State.TAMPERED}
    assert {verdict.state for verdict in operations.verify(own, lambda done, total: None)} == {State.INTACT}
    operations.recording_key.chmod(0o644)
    with pytest.raises(KeyProblem, match="open to other users"):
        operations.trusted_keys()
    operations.recording_key.unlink()
    assert operations.trusted_keys() == (own, str(operations.recordings / "recording.pub"))


def test_progress_ends_with_all(desk: Desk, operations: Operations) -> None:
    """Sessions done, sessions in all."""
    desk.record("5f2c0001", "quiet")
    desk.record("5f2c0002", "quiet")
    seen: list[tuple[int, int]] = []
    list(operations.verify(operations.trusted_keys()[0], lambda done, total: seen.append((done, total))))
    assert seen[-1] == (2, 2)


def test_unknown_sessions(operations: Operations) -> None:
    """Whether shown or replayed, at once."""
    for ask in (operations.show_session, operations.replay_session):
        with pytest.raises(NoSuchSession):
            ask("5f2c")
