"""What is written, in which order, and what a disk that fails leaves behind."""

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ostiary.core import ActionFinished, IntentRecorded
from ostiary.recording import FileRecording, RecordingFailed, Signer, State, TrustedKeys, read, verify
from ostiary.recording.format import MAX_LINE, Checkpoint, Seal
from ostiary.recording.recorder import CHECKPOINT_RECORDS, CHECKPOINT_SECONDS, WAITING_BYTES
from tests.recording.kit import EVERY, Clock, failing_disk, intent, path_of, record, started, states, trusted, whole


def bodies(directory: Path, session_id: str = "s1") -> Sequence[object]:
    """What is in the file now, as another process reads it."""
    return [entry.body for entry in read(path_of(directory, session_id))][1:]


def test_every_kind_of_record_comes_back_as_it_was(directory: Path, recording: FileRecording, signer: Signer) -> None:
    """Header first, seal last, and between them equal records in order."""
    record(recording)
    *records, seal = bodies(directory)
    assert tuple(records) == EVERY
    assert seal == Seal(len(EVERY) + 1, "client left")
    assert verify(path_of(directory), trusted(signer)).state is State.INTACT


def test_write_is_there_when_it_returns_and_later_waits_for_it(directory: Path, recording: FileRecording) -> None:
    """What waits keeps its place before what is written after it; `flush` writes it alone."""
    recorder = recording.open("s1")
    recorder.later(intent(1))
    assert bodies(directory) == []
    recorder.write(intent(2), intent(3))
    assert bodies(directory) == [intent(1), intent(2), intent(3)]
    recorder.later(intent(4))
    recorder.flush()
    assert bodies(directory)[3:] == [intent(4)]
    recorder.later(intent(5))
    recorder.close("done")
    assert bodies(directory)[4:] == [intent(5), Seal(6, "done")]


def test_what_waits_is_bounded(directory: Path, recording: FileRecording) -> None:
    """`later` writes by itself once 64 KiB wait."""
    recorder = recording.open("s1")
    recorder.later(intent(1, "x" * (WAITING_BYTES - 1000)))
    assert bodies(directory) == []
    recorder.later(intent(2, "x" * 1000))
    assert len(bodies(directory)) == 2
    recorder.close("done")


@pytest.mark.parametrize("accept", [0, 1, 100, 5000])
def test_full_disk_breaks_the_recorder_for_good(
    directory: Path, recording: FileRecording, signer: Signer, monkeypatch: pytest.MonkeyPatch, accept: int
) -> None:
    """After a failed or short write nothing follows the half line, though the disk has room again."""
    recorder = recording.open("s1")
    recorder.write(started())
    size = path_of(directory).stat().st_size
    with monkeypatch.context() as patch:
        failing_disk(patch, accept)
        with pytest.raises(RecordingFailed, match=r"recording s1 can't be written .*No space left.*: free space"):
            recorder.write(intent(1, "x" * 5000))
    assert path_of(directory).stat().st_size == size + accept
    attempts: list[Callable[[], None]] = [
        lambda: recorder.write(intent(2)),
        lambda: recorder.later(intent(2)),
        recorder.flush,
    ]
    for attempt in attempts:
        with pytest.raises(RecordingFailed, match="No space left"):
            attempt()
    recorder.close("done")
    assert path_of(directory).stat().st_size == size + accept
    assert bodies(directory) == [started()]
    assert states(directory, signer)["s1"] is State.UNSEALED
    record(recording, "s2")
    assert states(directory, signer)["s2"] is State.INTACT


def test_short_write_is_continued(
    directory: Path, recording: FileRecording, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that takes seven bytes at a time gets all of them."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:7]))
    record(recording)
    assert states(directory, signer)["s1"] is State.INTACT


def test_system_that_takes_nothing_is_a_failure(recording: FileRecording, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing zero bytes for ever is not waited for."""
    recorder = recording.open("s1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda _fd, _data: 0)
        with pytest.raises(RecordingFailed, match="accepted no bytes"):
            recorder.write(intent())
    recorder.close("done")


def test_no_recording_is_opened_on_a_full_disk(
    directory: Path, recording: FileRecording, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither without its header nor without its line in a heads log; and none of it is tampering."""
    with monkeypatch.context() as patch:
        failing_disk(patch, 10)
        with pytest.raises(RecordingFailed):
            recording.open("s1")
    with monkeypatch.context() as patch:
        failing_disk(patch, 10, lambda data: b'"kind":"head"' in data)
        with pytest.raises(RecordingFailed, match="heads"):
            recording.open("s2")
    record(recording, "s3")
    recording.close()
    found = states(directory, signer)
    assert (found["s1"], found["s2"], found["s3"]) == (State.UNSEALED, State.UNSEALED, State.INTACT)
    assert State.TAMPERED not in found.values()


def test_checkpoint_after_records_and_after_a_minute(
    directory: Path, recording: FileRecording, signer: Signer, clock: Clock
) -> None:
    """A signed line follows at the next write, and the heads log knows it."""
    recorder = recording.open("s1")
    recorder.later(*(intent(n) for n in range(CHECKPOINT_RECORDS)))
    assert Checkpoint() not in bodies(directory)
    recorder.flush()
    assert bodies(directory)[-1] == Checkpoint()
    clock.now += CHECKPOINT_SECONDS - 1
    recorder.write(intent())
    assert bodies(directory)[-1] == intent()
    clock.now += 1
    recorder.write(intent())
    assert bodies(directory)[-1] == Checkpoint()
    assert states(directory, signer) == {"s1": State.RUNNING, "heads": State.RUNNING}
    path = path_of(directory)
    path.write_bytes(b"".join(whole(path)[:-1]))
    assert states(directory, signer)["s1"] is State.TAMPERED
    recorder.close("done")


def test_long_text_is_cut_with_its_length_and_digest(directory: Path, recording: FileRecording) -> None:
    """The first 64 KiB remain, without half a character at the end."""
    text, value = "x" + "ü" * 40_000, "v" * 70_000
    recorder = recording.open("s1")
    recorder.write(intent(1, text, (None, value)))
    recorder.close("done")
    entry = list(read(path_of(directory)))[1]
    assert isinstance(entry.body, IntentRecorded)
    assert entry.body.text == "x" + "ü" * 32_767
    assert entry.body.parameters == (None, "v" * 65_536)
    assert [(cut.at, cut.bytes, cut.sha256) for cut in entry.cuts] == [
        ("text", 80_001, hashlib.sha256(text.encode()).hexdigest()),
        ("parameters.1", 70_000, hashlib.sha256(value.encode()).hexdigest()),
    ]


def test_many_long_values_do_not_shorten_the_statement(directory: Path, recording: FileRecording) -> None:
    """Values are cut to fit the line; the statement keeps its 64 KiB."""
    recorder = recording.open("s1")
    recorder.write(intent(1, "t" * 60_000, ("v" * 5_000,) * 6_000))
    recorder.close("done")
    entry = list(read(path_of(directory)))[1]
    assert isinstance(entry.body, IntentRecorded)
    assert len(entry.body.text) == 60_000
    assert {len(value or "") for value in entry.body.parameters} == {256}
    assert len(entry.cuts) == 6_000


def test_what_fits_a_line_is_whole(directory: Path, recording: FileRecording) -> None:
    """Nothing is cut before it must be."""
    recorder = recording.open("s1")
    recorder.write(intent(1, "x", ("v" * 65_536,) * 250))
    assert bodies(directory) == [intent(1, "x", ("v" * 65_536,) * 250)]
    recorder.close("done")


def test_as_many_values_as_a_statement_can_have_fit(directory: Path, recording: FileRecording) -> None:
    """PostgreSQL's 65,535, of the characters that JSON writes longest, beside a statement of such characters."""
    recorder = recording.open("s1")
    recorder.write(intent(1, "\x01" * 65_536, ("\x01" * 300,) * 65_535))
    recorder.close("done")
    entry = list(read(path_of(directory)))[1]
    assert isinstance(entry.body, IntentRecorded)
    assert (entry.body.text, entry.body.accesses) == ("\x01" * 65_536, intent().accesses)
    assert (len(entry.body.parameters), len(entry.cuts)) == (65_535, 65_535)
    assert path_of(directory).stat().st_size < MAX_LINE


def test_record_that_fits_in_no_way_is_refused_and_nothing_else(directory: Path, recording: FileRecording) -> None:
    """Neither a part of it nor a gap is written, and the recorder goes on."""
    recorder = recording.open("s1")
    with pytest.raises(RecordingFailed, match="too large"):
        recorder.write(intent(1), replace(intent(2), accesses=("read " + "v" * 60_000,) * 300))
    with pytest.raises(RecordingFailed, match="not Unicode"):
        recorder.write(intent(1), intent(2, "\ud800"))
    recorder.write(intent(3))
    assert bodies(directory) == [intent(3)]
    recorder.close("done")


def test_heads_log_continues_on_a_new_day(
    directory: Path, recording: FileRecording, signer: Signer, clock: Clock
) -> None:
    """A session that began before is sealed in the new one; both are whole."""
    recorder = recording.open("s1")
    clock.now += 86400
    record(recording, "s2")
    recorder.close("done")
    recording.close()
    assert len(list((directory / "heads").iterdir())) == 2
    assert states(directory, signer) == {"s1": State.INTACT, "s2": State.INTACT, "heads": State.INTACT}


@pytest.mark.parametrize("fsync", ["never", "close", "always"])
def test_files_are_private_and_closed_twice_without_harm(directory: Path, signer: Signer, fsync: str) -> None:
    """Mode 0600 whatever the umask; a second `close` changes nothing and leaks no descriptor."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    umask = os.umask(0)
    try:
        recording = FileRecording(directory, signer, Clock(), fsync)  # type: ignore[arg-type]
        recorder = recording.open("s1")
    finally:
        os.umask(umask)
    recorder.close("done")
    recorder.close("done")
    with pytest.raises(RecordingFailed, match="sealed"):
        recorder.write(intent())
    recording.close()
    recording.close()
    files = [path_of(directory), *(directory / "heads").iterdir()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert set(states(directory, signer).values()) == {State.INTACT}
    assert TrustedKeys.load(directory / "keys").by_fingerprint.keys() == {signer.fingerprint}


def test_closing_on_a_full_disk_frees_the_file(
    directory: Path, signer: Signer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor is left, though neither the seal nor a heads log for the new day can be written."""
    recording = FileRecording(directory, signer, clock, "close")
    recorder = recording.open("s1")
    recorder.write(started())
    before = len(list(Path("/proc/self/fd").iterdir()))
    clock.now += 86400
    with monkeypatch.context() as patch:
        failing_disk(patch, 0)
        recorder.close("done")
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1
    recording.close()
    assert states(directory, signer)["s1"] is State.UNSEALED


@pytest.mark.parametrize("session_id", ["", "..", "../x", "a/b", "a.b", "-a", "x" * 129, "a\n", "ü"])
def test_session_id_names_no_other_place(recording: FileRecording, session_id: str) -> None:
    """What could leave the directory is no session id."""
    with pytest.raises(ValueError, match="a session id is"):
        recording.open(session_id)


def test_open_directory_and_taken_name_are_refused(directory: Path, recording: FileRecording, signer: Signer) -> None:
    """Recordings are not put where others may write, nor over another one."""
    record(recording)
    with pytest.raises(FileExistsError):
        recording.open("s1")
    directory.chmod(0o770)
    with pytest.raises(PermissionError, match="run `chmod go-w"):
        FileRecording(directory, signer)


def test_always_forces_the_disk_before_write_returns(
    directory: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that can't be forced breaks the recorder as a full one does."""
    recording = FileRecording(directory, signer, Clock(), "always")
    recorder = recording.open("s1")

    def broken(_fd: int) -> None:
        raise OSError("input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        recorder.later(ActionFinished(1, "ok", "", 0, 0))
        with pytest.raises(RecordingFailed, match="input/output error"):
            recorder.write(intent())
    with pytest.raises(RecordingFailed, match="input/output error"):
        recorder.write(intent())
    recorder.close("done")
    recording.close()
