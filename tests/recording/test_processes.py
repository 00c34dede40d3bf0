"""What only processes show: forks, a kill, the kernel's own limits, descriptors, microseconds."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ostiary.core import ActionFinished
from ostiary.recording import FileRecording, Signer, State, read, sessions
from tests.recording.kit import Clock, intent, path_of, record, started, states


def run(program: str, directory: Path) -> "subprocess.CompletedProcess[str]":
    """A process with a recorder of session s1 as `recorder`, and its key beside the directory."""
    start = """
        import os, resource, signal, sys
        from pathlib import Path
        from ostiary.recording import FileRecording, RecordingFailed, Signer
        from tests.recording.kit import intent, started
        recorder = FileRecording(Path(sys.argv[1]), Signer.load(Path(sys.argv[2]))).open("s1")
    """
    code = textwrap.dedent(start) + textwrap.dedent(program)
    command = [sys.executable, "-c", code, str(directory), str(directory.parent / "key.pem")]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=50)


def test_kill_leaves_what_was_written(directory: Path) -> None:
    """SIGKILL: every record that `write` returned for is there, what waited is not."""
    done = run("recorder.write(intent(1)); recorder.later(intent(2)); os.kill(os.getpid(), signal.SIGKILL)", directory)
    assert done.returncode == -signal.SIGKILL
    assert [entry.kind for entry in read(path_of(directory))] == ["header", "intent"]
    signer = Signer.load(directory.parent / "key.pem")
    assert states(directory, signer) == {"s1": State.UNSEALED, "heads": State.UNSEALED}


def test_the_kernels_file_size_limit_is_a_full_disk(directory: Path) -> None:
    """A real short write followed by a real error; nothing follows the half line, not even a seal."""
    done = run(
        """
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        for number in range(100):
            try:
                recorder.write(intent(number))
            except RecordingFailed as error:
                print("refused", number, error)
        recorder.close("done")
        """,
        directory,
    )
    refused = [line.split() for line in done.stdout.splitlines() if line.startswith("refused ")]
    first = int(refused[0][1])
    assert [int(words[1]) for words in refused] == list(range(first, 100))
    assert all(words[-9:] == refused[0][-9:] and "large):" in words for words in refused)
    assert path_of(directory).stat().st_size == 3000
    assert [entry.kind for entry in read(path_of(directory))] == ["header"] + ["intent"] * first


def test_forked_child_writes_a_heads_log_of_its_own(directory: Path, recording: FileRecording, signer: Signer) -> None:
    """Two processes never append to one chain."""
    record(recording, "s1")
    child = os.fork()
    if child == 0:
        try:
            record(recording, "s2")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    record(recording, "s3")
    assert len(list((directory / "heads").iterdir())) == 2
    assert {states(directory, signer)[name] for name in ("s1", "s2", "s3")} == {State.INTACT}


@pytest.mark.parametrize(("policy", "forced"), [("never", 0), ("close", 5), ("always", 12)])
def test_policy_says_what_is_forced_to_the_disk(
    directory: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch, policy: str, forced: int
) -> None:
    """Recording, heads log and folder after the seal; heads log and folder at the end; "always": each write too."""
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    monkeypatch.setattr(os, "fdatasync", calls.append)
    recording = FileRecording(directory, signer, Clock(), policy)  # type: ignore[arg-type]
    recorder = recording.open("s1")
    recorder.write(intent(1))
    recorder.close("done")
    recording.close()
    assert len(calls) == forced


def test_sessions_leave_no_descriptor_open(recording: FileRecording) -> None:
    """One each while they run, none afterwards."""
    record(recording, "s")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        record(recording, f"s{number}")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_list_opens_only_what_it_shows(
    directory: Path, recording: FileRecording, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred thousand sessions do not make the newest three slow."""
    for number in range(20):
        clock.now += 1
        record(recording, f"s{number}")
    opened: list[Path] = []
    real = Path.open

    def watched(self: Path, mode: str = "r") -> object:
        opened.append(self)
        return real(self, mode)

    monkeypatch.setattr(Path, "open", watched)
    assert [summary.session_id for summary in sessions(directory, 3)] == ["s19", "s18", "s17"]
    assert len(set(opened)) == 3


def test_query_costs_microseconds(recording: FileRecording, record_property: Callable[[str, object], None]) -> None:
    """Its intent written, its end with the next write; the bound is for accidents, it holds on a busy machine."""
    recorder = recording.open("s1")
    recorder.write(started())
    statement = intent(1, "SELECT abalance FROM pgbench_accounts WHERE aid = $1", ("12345",))
    end = ActionFinished(1, "ok", "SELECT 1", 1, 18)
    best = 1.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(2000):
            recorder.write(statement)
            recorder.later(end)
        best = min(best, (time.perf_counter() - began) / 2000)
    record_property("microseconds a query", round(best * 1e6, 1))
    assert best < 100e-6
