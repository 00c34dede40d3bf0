"""A recording while it is written: whole lines only, each once, until its end."""

from pathlib import Path

from ostiary.core import IntentRecorded, SessionEnded
from ostiary.recording import FileRecording, Following, MomentKind, Signer


def _intent(number: int, text: str = "SELECT 1") -> IntentRecorded:
    return IntentRecorded(number, text, "reads", (), (), "allow", ())


def test_each_line_once(tmp_path: Path) -> None:
    """What came since; nothing of half a line; the end where the seal is."""
    recording = FileRecording(tmp_path / "r", Signer.load(tmp_path / "key"), fsync="never")
    recorder = recording.open("s1")
    recorder.write(_intent(1, "\x1b[2J"))
    (path,) = (tmp_path / "r").rglob("*.rec")
    following = Following(path)
    ((line, moment),) = following.more()
    assert (line, moment.kind, moment.text, following.caught_up) == (1, MomentKind.STATEMENT, r"\x1b[2J", True)
    assert following.more() == []
    half = Following(path)
    path_bytes = path.read_bytes()
    copy = path.with_name("235959-copy.rec")
    copy.write_bytes(path_bytes[:-5])
    half = Following(copy)
    assert half.more() == []
    assert half.ended, "nobody writes it any more"
    recorder.write(_intent(2), SessionEnded("bye", "", 2, 0))
    recorder.close("bye")
    assert [(line, moment.kind) for line, moment in following.more()] == [
        (2, MomentKind.STATEMENT),
        (3, MomentKind.ENDED),
    ]
    assert following.ended
    recording.close()


def test_damage_ends_it(tmp_path: Path) -> None:
    """Said as the last moment, without a word of what stands there."""
    recording = FileRecording(tmp_path / "r", Signer.load(tmp_path / "key"), fsync="never")
    recorder = recording.open("s1")
    recorder.write(_intent(1))
    (path,) = (tmp_path / "r").rglob("*.rec")
    with path.open("ab") as file:
        file.write(b"canary\n" * 3)
    following = Following(path)
    kinds = [moment.kind for _, moment in following.more()]
    assert kinds == [MomentKind.STATEMENT, MomentKind.DAMAGE]
    assert following.ended
    assert following.more() == []
    recorder.close("")
    recording.close()


def test_in_pieces(tmp_path: Path) -> None:
    """A long one comes in several, in order and whole."""
    recording = FileRecording(tmp_path / "r", Signer.load(tmp_path / "key"), fsync="never")
    recorder = recording.open("s1")
    for number in range(20):
        recorder.write(_intent(number, "x" * 60_000))
    (path,) = (tmp_path / "r").rglob("*.rec")
    following = Following(path)
    found, rounds = [], 0
    while not following.caught_up:
        found += following.more()
        rounds += 1
    assert [moment.action_id for _, moment in found] == list(range(20))
    assert rounds > 2
    recorder.close("")
    recording.close()
