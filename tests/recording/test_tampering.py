"""Everything done to the files is found, and a crash is not called tampering."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.recording import FileRecording, FindingKind, Heads, Signer, State, TrustedKeys, verify, verify_all
from ostiary.recording.format import genesis
from tests.recording.kit import EVERY, Clock, intent, path_of, record, started, states, trusted, whole

Lines = list[bytes]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Path:
    """Two sealed recordings and a sealed heads log, never changed."""
    directory = tmp_path_factory.mktemp("original") / "recordings"
    recording = FileRecording(directory, signer, Clock(), "never")
    record(recording, "s1")
    record(recording, "s2")
    recording.close()
    assert states(directory, signer) == {"s1": State.INTACT, "s2": State.INTACT, "heads": State.INTACT}
    return directory


@pytest.fixture
def copied(original: Path, directory: Path) -> Path:
    """The same, to be tampered with."""
    shutil.copytree(original, directory)
    return directory


def rechained(lines: Lines, name: str = "s1") -> Lines:
    """The same contents with the hashes that anybody can compute; signatures stay."""
    previous, made = genesis("recording", name), []  # type: ignore[arg-type]
    for line in lines:
        content, _, rest = line.rpartition(b',"hash":"')
        previous = hashlib.sha256(previous + content).hexdigest().encode()
        made.append(content + b',"hash":"' + previous + rest[64:])
    return made


def without_signatures(lines: Lines) -> Lines:
    """No line is signed any more."""
    return [line.partition(b',"sig":')[0].rstrip(b"}\n") + b"}\n" if b',"sig":' in line else line for line in lines]


def replaced(lines: Lines, old: bytes, new: bytes) -> Lines:
    """A text of a record changed."""
    assert any(old in line for line in lines)
    return [line.replace(old, new) for line in lines]


DEEDS: dict[str, tuple[Callable[[Lines], Lines], FindingKind]] = {
    "delete a line": (lambda it: it[:3] + it[4:], FindingKind.ORDER),
    "delete two lines": (lambda it: it[:3] + it[5:], FindingKind.ORDER),
    "delete the header": (lambda it: it[1:], FindingKind.HEADER),
    "swap two lines": (lambda it: [*it[:3], it[4], it[3], *it[5:]], FindingKind.ORDER),
    "repeat a line": (lambda it: [*it[:4], it[3], *it[4:]], FindingKind.ORDER),
    "repeat the header": (lambda it: [it[0], *it], FindingKind.HEADER),
    "repeat the seal": (lambda it: [*it, it[-1]], FindingKind.TRAILING),
    "append a record": (lambda it: [*it, it[3]], FindingKind.TRAILING),
    "append an empty line": (lambda it: [*it, b"\n"], FindingKind.TRAILING),
    "append half a line": (lambda it: [*it, b'{"v":1'], FindingKind.TRAILING),
    "insert an empty line": (lambda it: [*it[:3], b"\n", *it[3:]], FindingKind.CHANGED),
    "change a text": (lambda it: replaced(it, b"DROP TABLE t", b"SELECT now()"), FindingKind.CHANGED),
    "change a text and re-chain": (
        lambda it: rechained(replaced(it, b"DROP TABLE t", b"SELECT now()")),
        FindingKind.SIGNATURE,
    ),
    "delete a line and re-chain": (lambda it: rechained(it[:3] + it[4:]), FindingKind.ORDER),
    "re-chain and take the signatures away": (
        lambda it: without_signatures(rechained(replaced(it, b"DROP TABLE t", b"SELECT now()"))),
        FindingKind.SIGNATURE,
    ),
    "take the seal's signature away": (lambda it: it[:-1] + without_signatures(it[-1:]), FindingKind.SIGNATURE),
    "empty the file": (lambda _: [], FindingKind.TRUNCATED),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_deed_is_found(copied: Path, signer: Signer, deed: str) -> None:
    """In the file it was done to, by the check that is meant for it, and nowhere else."""
    do, kind = DEEDS[deed]
    path = path_of(copied)
    path.write_bytes(b"".join(do(whole(path))))
    verdict = verify(path, trusted(signer), Heads.load(copied, trusted(signer)))
    assert verdict.state is State.TAMPERED
    assert kind in {finding.kind for finding in verdict.findings}
    assert states(copied, signer) == {"s1": State.TAMPERED, "s2": State.INTACT, "heads": State.INTACT}


@pytest.mark.parametrize(
    ("old", "new", "seq"),
    [
        (b"DROP TABLE t", b"SELECT now()", 6),
        (b'"seq":3,"time"', b'"seq":3, "time"', 3),
        (b'"seq":3,"time"', b'"seq":x,"time"', 3),
    ],
)
def test_one_changed_record_is_one_finding(copied: Path, signer: Signer, old: bytes, new: bytes, seq: int) -> None:
    """With its number, also when it is no record any more: its neighbours are not accused."""
    path = path_of(copied)
    path.write_bytes(b"".join(replaced(whole(path), old, new)))
    verdict = verify(path, trusted(signer), Heads.load(copied, trusted(signer)))
    assert [(finding.kind, finding.seq) for finding in verdict.findings] == [(FindingKind.CHANGED, seq)]


@pytest.mark.parametrize("count", range(len(EVERY) + 2))
@pytest.mark.parametrize("more", [0, 1, 60, -1])
def test_sealed_recording_is_not_shortened(copied: Path, signer: Signer, count: int, more: int) -> None:
    """Cut at every boundary and within every record, down to the last newline: the heads log saw the seal."""
    path = path_of(copied)
    lines = whole(path)
    path.write_bytes(b"".join(lines[:count]) + lines[count][:more])
    assert states(copied, signer)["s1"] is State.TAMPERED
    assert verify(path, trusted(signer)).state is State.UNSEALED, "by itself it looks like a crash"


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_changed_byte_is_found(original: Path, signer: Signer, data: st.DataObject) -> None:
    """Whichever byte of a recording becomes whichever other."""
    path = path_of(original)
    good = path.read_bytes()
    offset = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != good[offset]))
    heads = Heads.load(original, trusted(signer))
    try:
        path.write_bytes(good[:offset] + bytes([value]) + good[offset + 1 :])
        verdict = verify(path, trusted(signer), heads)
    finally:
        path.write_bytes(good)
    assert verdict.state in {State.TAMPERED, State.UNREADABLE}
    assert verdict.findings


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_changed_byte_of_a_heads_log_is_found(original: Path, signer: Signer, data: st.DataObject) -> None:
    """But for signatures that the last one stands for, and the last newline, whose loss is what a crash leaves."""
    (path,) = (original / "heads").iterdir()
    good = path.read_bytes()
    spare = {n for match in re.finditer(rb'"sig":"([0-9a-f]+)"\}\n', good[:-1]) for n in range(*match.span(1))}
    offset = data.draw(st.integers(0, len(good) - 2).filter(lambda offset: offset not in spare))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != good[offset]))
    try:
        path.write_bytes(good[:offset] + bytes([value]) + good[offset + 1 :])
        (verdict,) = Heads.load(original, trusted(signer)).verdicts
    finally:
        path.write_bytes(good)
    assert verdict.state in {State.TAMPERED, State.UNREADABLE}


def test_seal_of_another_session(copied: Path, signer: Signer) -> None:
    """Equal in length and reason, and signed by the right key: it does not fit."""
    path, other = path_of(copied, "s1"), path_of(copied, "s2")
    path.write_bytes(b"".join([*whole(path)[:-1], whole(other)[-1]]))
    assert states(copied, signer)["s1"] is State.TAMPERED
    path.write_bytes(b"".join(rechained(whole(path))))
    assert states(copied, signer)["s1"] is State.TAMPERED


def test_recording_of_another_session(copied: Path, signer: Signer) -> None:
    """A whole recording put under another name, with and without heads logs."""
    path = path_of(copied)
    shutil.copyfile(path_of(copied, "s2"), path)
    assert states(copied, signer)["s1"] is State.TAMPERED
    kinds = {finding.kind for finding in verify(path, trusted(signer)).findings}
    assert {FindingKind.CHANGED, FindingKind.HEADER, FindingKind.SIGNATURE} <= kinds


def test_key_of_somebody_else(copied: Path, original: Path, tmp_path: Path, signer: Signer, clock: Clock) -> None:
    """Who writes a whole history with a key of their own is not believed."""
    forger = Signer(Ed25519PrivateKey.generate())
    forged = FileRecording(tmp_path / "forged", forger, clock, "never")
    record(forged)
    forged.close()
    shutil.copyfile(path_of(tmp_path / "forged"), path_of(copied))
    kinds = {finding.kind for finding in verify(path_of(copied), trusted(signer)).findings}
    assert kinds == {FindingKind.UNKNOWN_KEY}
    assert states(copied, signer)["s1"] is State.TAMPERED
    assert set(states(tmp_path / "forged", signer).values()) == {State.TAMPERED}
    assert set(states(tmp_path / "forged", forger).values()) == {State.INTACT}


def test_other_history_by_the_right_key(copied: Path, tmp_path: Path, signer: Signer, clock: Clock) -> None:
    """Whole and signed, but not what the heads log saw: a copy of that log tells even of who has the key."""
    other = FileRecording(tmp_path / "other", signer, clock, "never")
    record(other, reason="another reason")
    other.close()
    shutil.copyfile(path_of(tmp_path / "other"), path_of(copied))
    assert verify(path_of(copied), trusted(signer)).state is State.INTACT
    verdict = verify(path_of(copied), trusted(signer), Heads.load(copied, trusted(signer)))
    assert {finding.kind for finding in verdict.findings} == {FindingKind.HEADS}


def test_header_that_names_the_right_key_over_a_strangers_signatures(
    tmp_path: Path, signer: Signer, clock: Clock
) -> None:
    """The name of a trusted key is no signature of it."""
    forger = Signer(Ed25519PrivateKey.generate())
    forger.fingerprint = signer.fingerprint
    forged = FileRecording(tmp_path / "forged", forger, clock, "never")
    record(forged)
    forged.close()
    assert set(states(tmp_path / "forged", signer).values()) == {State.TAMPERED}


def test_deleted_recording_is_missed(copied: Path, signer: Signer) -> None:
    """The heads log has opened it."""
    path_of(copied).unlink()
    found = {verdict.name: verdict for verdict in verify_all(copied, trusted(signer))}
    assert found["s1"].state is State.TAMPERED
    assert [finding.kind for finding in found["s1"].findings] == [FindingKind.MISSING]
    assert found["s2"].state is State.INTACT


def test_moved_recording_is_found(copied: Path, signer: Signer) -> None:
    """A session is not put under another time, nor copied there."""
    path = path_of(copied)
    copy = path.with_name("235959-s1.rec")
    shutil.copyfile(path, copy)
    assert states(copied, signer)["s1"] is State.TAMPERED
    path.unlink()
    assert states(copied, signer)["s1"] is State.TAMPERED


def test_deleted_heads_log_is_missed(copied: Path, signer: Signer) -> None:
    """By the recordings that no heads log has opened, and by the next heads log, which names it."""
    (heads,) = (copied / "heads").iterdir()
    kept = heads.read_bytes()
    heads.unlink()
    assert states(copied, signer) == {"s1": State.TAMPERED, "s2": State.TAMPERED}
    heads.write_bytes(kept)
    clock = Clock()
    clock.now += 86400
    later = FileRecording(copied, signer, clock, "never")
    record(later, "s3")
    later.close()
    assert State.TAMPERED not in states(copied, signer).values()
    heads.write_bytes(b"".join(kept.splitlines(keepends=True)[:-1]))
    assert states(copied, signer)["heads"] is State.TAMPERED
    heads.unlink()
    assert states(copied, signer)["heads"] is State.TAMPERED


@pytest.mark.parametrize("half", [b"", b'{"v":1,"seq":3,"ti'])
def test_crash_is_told_from_tampering(directory: Path, signer: Signer, half: bytes) -> None:
    """A process that dies leaves an unsealed recording, perhaps with a half line; a changed one is still found."""
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom ostiary.recording import FileRecording, Signer\n"
        "from tests.recording.kit import intent, started\n"
        "recorder = FileRecording(Path(sys.argv[1]), Signer.load(Path(sys.argv[2]))).open('s1')\n"
        "recorder.write(started(), intent())\nrecorder.later(intent(2))\nos._exit(9)\n"
    )
    key = directory.parent / "key.pem"
    run = subprocess.run([sys.executable, "-c", program, directory, key], check=False, timeout=50)
    assert run.returncode == 9
    own = Signer.load(key)
    path = path_of(directory)
    with path.open("ab") as file:
        file.write(half)
    assert states(directory, own) == {"s1": State.UNSEALED, "heads": State.UNSEALED}
    kinds = {finding.kind for finding in verify(path, trusted(own)).findings}
    assert kinds == {FindingKind.NOT_SEALED} | ({FindingKind.TORN} if half else set())
    path.write_bytes(path.read_bytes().replace(b"SELECT 1", b"SELECT 2"))
    assert states(directory, own)["s1"] is State.TAMPERED


def test_running_recording_is_told_from_a_dead_one(directory: Path, recording: FileRecording, signer: Signer) -> None:
    """As long as its writer holds the file."""
    recorder = recording.open("s1")
    recorder.write(started(), intent())
    assert states(directory, signer) == {"s1": State.RUNNING, "heads": State.RUNNING}
    recorder.close("done")
    assert states(directory, signer) == {"s1": State.INTACT, "heads": State.RUNNING}


def test_newer_format_is_not_called_tampering(copied: Path, signer: Signer) -> None:
    """It says to upgrade."""
    path = path_of(copied)
    path.write_bytes(path.read_bytes().replace(b'{"v":1,', b'{"v":2,'))
    verdict = verify(path, trusted(signer))
    assert verdict.state is State.UNREADABLE
    assert "upgrade ostiary" in verdict.findings[0].message


def test_endless_line_is_not_read(directory: Path, recording: FileRecording, signer: Signer) -> None:
    """A line of more than 16 MiB ends the reading, with a finding."""
    record(recording)
    with path_of(directory).open("ab") as file:
        os.truncate(file.fileno(), 40 * 1024 * 1024)
    verdict = verify(path_of(directory), trusted(signer))
    assert verdict.state is State.TAMPERED
    assert FindingKind.UNREADABLE in {finding.kind for finding in verdict.findings}


def test_verdict_quotes_nothing_of_what_is_recorded(copied: Path, signer: Signer) -> None:
    """Findings are sentences of the verifier's own."""
    path = path_of(copied)
    path.write_bytes(b"".join(replaced(whole(path), b"DROP TABLE t", b"SECRET TEXT!")))
    assert "SECRET" not in repr(list(verify_all(copied, trusted(signer))))


def test_progress_counts_every_file(copied: Path, signer: Signer) -> None:
    """Those that are gone included."""
    path_of(copied).unlink()
    seen: list[tuple[int, int]] = []
    list(verify_all(copied, TrustedKeys.of(signer.public), lambda done, total: seen.append((done, total))))
    assert seen == [(1, 2), (2, 2)]
