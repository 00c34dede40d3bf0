"""The log of changes: signed lines, vouched for by the heads log, missed when they are gone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostiary.recording import (
    AuditLog,
    Change,
    ChangeStage,
    FileRecording,
    RecordingFailed,
    Signer,
    State,
    TrustedKeys,
    Verdict,
    read,
    verify_all,
)
from tests.recording.kit import Clock, failing_disk, record, trusted

CHANGE = Change(
    ChangeStage.DONE, "c1", "corp:dana", "jti", "10.0.0.1:4", "administer", "sessions/s1", ("ops",), "why",
    {"state": "live"}, {"state": "ended", "people": ["a"]},
)  # fmt: skip


@pytest.fixture
def clock() -> Clock:
    """Unix seconds."""
    return Clock()


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """The gateway's key."""
    return Signer.load(tmp_path / "recording.key")


@pytest.fixture
def recording(tmp_path: Path, signer: Signer, clock: Clock) -> Iterator[FileRecording]:
    """Recordings in a directory."""
    made = FileRecording(tmp_path / "recordings", signer, clock, "never")
    yield made
    made.close()


def audits(tmp_path: Path, keys: TrustedKeys) -> list[Verdict]:
    """Of the audit logs."""
    return [each for each in verify_all(tmp_path / "recordings", keys) if each.type == "audit"]


def logs(tmp_path: Path) -> list[Path]:
    """The files."""
    return sorted((tmp_path / "recordings" / "audit").glob("*.log"))


def test_written_read_and_verified(tmp_path: Path, recording: FileRecording, signer: Signer) -> None:
    """Nothing is made before the first change; a change is whole in the file when it was written."""
    log = AuditLog(recording)
    log.close()
    assert logs(tmp_path) == []
    log.write(CHANGE)
    (path,) = logs(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.body for entry in read(path) if entry.kind == "change"] == [CHANGE]
    record(recording)
    assert [verdict.state for verdict in audits(tmp_path, trusted(signer))] == [State.RUNNING]
    log.close()
    assert [verdict.state for verdict in audits(tmp_path, trusted(signer))] == [State.INTACT]
    assert {verdict.state for verdict in verify_all(tmp_path / "recordings", trusted(signer))} <= {
        State.INTACT, State.RUNNING,
    }  # fmt: skip


def test_a_file_a_day(tmp_path: Path, recording: FileRecording, signer: Signer, clock: Clock) -> None:
    """The one before is sealed."""
    log = AuditLog(recording)
    log.write(CHANGE)
    clock.now += 86_400
    log.write(CHANGE)
    states = [verdict.state for verdict in audits(tmp_path, trusted(signer))]
    assert states == [State.INTACT, State.RUNNING]
    log.close()


def test_what_was_done_to_it_is_found(tmp_path: Path, recording: FileRecording, signer: Signer) -> None:
    """A line changed, its signature taken, the last one cut, the file gone or renamed."""
    log = AuditLog(recording)
    log.write(CHANGE)
    log.write(CHANGE)
    log.close()
    (path,) = logs(tmp_path)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    bad = [
        whole.replace(b"corp:dana", b"corp:dora", 1),
        b"".join([lines[0], lines[1].partition(b',"sig"')[0] + b"}\n", *lines[2:]]),
        whole.replace(lines[1][-20:], b"0" * 17 + b'"}\n'),
        b"".join(lines[:-1]),
        b"".join(lines[:-2]),
        b"".join([lines[0], *lines[2:]]),
    ]
    for data in bad:
        path.write_bytes(data)
        assert [verdict.state for verdict in audits(tmp_path, trusted(signer))] == [State.TAMPERED], data
    path.write_bytes(whole)
    assert [verdict.state for verdict in audits(tmp_path, trusted(signer))] == [State.INTACT]
    other = path.with_name("20260101T000000.000000Z-x-1-00000000.log")
    path.rename(other)
    assert {verdict.state for verdict in audits(tmp_path, trusted(signer))} == {State.TAMPERED}
    other.unlink()
    (gone,) = audits(tmp_path, trusted(signer))
    assert (gone.state, gone.findings[0].kind.value) == (State.TAMPERED, "missing-file")


def test_the_last_change_is_missed(tmp_path: Path, recording: FileRecording, signer: Signer) -> None:
    """Also while the log is open: the heads log has seen every line of it."""
    log = AuditLog(recording)
    log.write(CHANGE)
    log.write(CHANGE)
    (path,) = logs(tmp_path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    (verdict,) = audits(tmp_path, trusted(signer))
    assert (verdict.state, verdict.findings[0].kind.value) == (State.TAMPERED, "truncated")
    log.close()


def test_another_key(tmp_path: Path, recording: FileRecording, signer: Signer) -> None:
    """Is not believed."""
    log = AuditLog(recording)
    log.write(CHANGE)
    log.close()
    stranger = Signer.load(tmp_path / "stranger.key")
    assert [verdict.state for verdict in audits(tmp_path, trusted(stranger))] == [State.TAMPERED]


def test_a_full_disk(tmp_path: Path, recording: FileRecording, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raises; with room again the next change gets a file of its own."""
    log = AuditLog(recording)
    log.write(CHANGE)
    with monkeypatch.context() as patch:
        failing_disk(patch, 10)
        with pytest.raises(RecordingFailed):
            log.write(CHANGE)
    log.write(CHANGE)
    log.close()
    recording.close()
    assert len(logs(tmp_path)) == 2
