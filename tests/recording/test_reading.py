"""What recordings say: lists, one session, a replay; and that hostile text does nothing to who reads it."""

import dataclasses
from pathlib import Path

import pytest

from ostiary.core import ActionFinished, ActionHeld, ActionRefused, LeaseIssued, Record, RowsSeen, SessionEnded
from ostiary.recording import (
    DamagedRecording,
    FileRecording,
    Moment,
    MomentKind,
    NewerFormat,
    NoSuchSession,
    SessionFilter,
    SessionState,
    find,
    read,
    replay,
    safe,
    sessions,
    show,
    summarize,
)
from ostiary.recording.recorder import CHECKPOINT_SECONDS
from tests.recording.kit import NOON, Clock, intent, path_of, record, started, whole

EVIL = "\x1b]0;owned\x07\x1b[2J\u202egnirts\u200b\r\nostiary: all is well"


def texts(thing: object) -> list[str]:
    """Every text anywhere in it."""
    match thing:
        case str():
            return [thing]
        case tuple() | list():
            return [text for item in thing for text in texts(item)]
        case dict():
            return texts([*thing.keys(), *thing.values()])
        case _ if dataclasses.is_dataclass(thing):
            return texts([getattr(thing, field.name) for field in dataclasses.fields(thing)])
        case _:
            return []


def hostile(recording: FileRecording) -> None:
    """A session whose every text is an attack."""
    recorder = recording.open("evil")
    records: tuple[Record, ...] = (
        dataclasses.replace(
            started("evil"), principal=EVIL, target=EVIL, source=EVIL, groups=(EVIL,), claims={EVIL: EVIL}
        ),
        LeaseIssued(EVIL, EVIL, EVIL),
        dataclasses.replace(
            intent(1, EVIL, (EVIL,)), summary=EVIL, rules=(EVIL,), approval_id=EVIL, approved_by=(EVIL,)
        ),
        ActionHeld(2, EVIL, (EVIL,), EVIL, (EVIL,)),
        ActionRefused(3, EVIL, EVIL, (EVIL,), EVIL, EVIL, (EVIL,)),
        RowsSeen(1, (EVIL,), ((EVIL,),)),
        ActionFinished(1, EVIL, EVIL, 1, 1, {EVIL: EVIL}),
        SessionEnded(EVIL, EVIL, 1, 1),
    )
    recorder.write(*records)
    recorder.close(EVIL)


def test_show_tells_the_session(directory: Path, recording: FileRecording) -> None:
    """Each command with its ruling and its end, in order."""
    record(recording)
    detail = show(directory, "s")
    assert (detail.started, detail.lease) == (started(), LeaseIssued("l1", "role", "ostiary_s1"))
    assert detail.ended == SessionEnded("client left", "role dropped, 0 backends left", 2, 1)
    assert [(a.action_id, a.verdict, a.status, a.outcome, a.rows) for a in detail.actions] == [
        (1, "allow", "ok", "SELECT 2", 2),
        (2, "hold", "", "", 0),
        (3, "policy", "refused", "not permitted", 0),
    ]
    assert detail.actions[0].parameters == ("1", None, "")
    assert detail.actions[0].masked == {"email": "redact"}
    assert detail.actions[1].approved_by == ("ann",)
    assert (detail.more, detail.damage) == (0, "")


def test_show_is_bounded(directory: Path, recording: FileRecording) -> None:
    """Commands beyond the limit are counted; ends of commands that are not shown are no matter."""
    recorder = recording.open("s1")
    recorder.write(started())
    for n in range(5):
        recorder.write(intent(n), ActionFinished(n, "ok", "SELECT 1", 1, 1))
    recorder.close("done")
    detail = show(directory, "s1", limit=2)
    assert ([action.action_id for action in detail.actions], detail.more) == ([0, 1], 3)


def test_list_is_newest_first_and_filtered(directory: Path, recording: FileRecording, clock: Clock) -> None:
    """By state, by who and where, by time, by refusals."""
    for n in range(3):
        record(recording, f"s{n}")
        clock.now += 86400
    recorder = recording.open("s3")
    recorder.write(started("s3"), intent(1), intent(2))
    listed = sessions(directory, 10)
    assert [summary.session_id for summary in listed] == ["s3", "s2", "s1", "s0"]
    assert [summary.session_id for summary in sessions(directory, 2)] == ["s3", "s2"]
    running, sealed = listed[0], listed[1]
    assert (running.state, running.actions, running.refused) == (SessionState.RUNNING, 2, 0)
    assert (sealed.state, sealed.actions, sealed.refused, sealed.reason) == (SessionState.SEALED, 2, 1, "client left")
    assert (sealed.principal, sealed.target, sealed.protocol) == ("local/shop", "orders", "postgres")
    for wanted, ids in (
        (SessionFilter(state=SessionState.RUNNING), ["s3"]),
        (SessionFilter(refused=True), ["s2", "s1", "s0"]),
        (SessionFilter(principal="local/shop", target="orders", until=NOON + 1), ["s0"]),
        (SessionFilter(since=NOON + 86400, until=NOON + 2 * 86400), ["s1"]),
        (SessionFilter(principal="local"), []),
    ):
        assert [summary.session_id for summary in sessions(directory, 10, wanted)] == ids
    recorder.close("done")


def test_end_is_found_behind_a_checkpoint(directory: Path, recording: FileRecording, clock: Clock) -> None:
    """A session that was idle for a minute writes a checkpoint between its end and its seal."""
    recorder = recording.open("s1")
    recorder.write(started())
    clock.now += CHECKPOINT_SECONDS
    recorder.write(SessionEnded("client left", "role dropped", 7, 3))
    recorder.close("sealed")
    summary = summarize(path_of(directory))
    assert (summary.state, summary.actions, summary.refused, summary.reason) == (
        SessionState.SEALED,
        7,
        3,
        "client left",
    )
    assert summary.ended == clock.now


def test_replay_is_the_session_in_time(directory: Path, recording: FileRecording, clock: Clock) -> None:
    """Moments in order, with offsets that never run backwards though the clock did."""
    recorder = recording.open("s1")
    recorder.write(started())
    clock.now += 2.5
    recorder.write(intent(1, "SELECT\n1", ("a", None)))
    clock.now -= 60
    recorder.write(RowsSeen(1, ("n",), (("1",), (None,))), ActionFinished(1, "ok", "SELECT 2", 2, 9, {"n": "null"}))
    recorder.close("done")
    moments = list(replay(directory, "s1"))
    assert [(m.kind, m.offset) for m in moments] == [
        (MomentKind.STARTED, 0.0),
        (MomentKind.STATEMENT, 2.5),
        (MomentKind.ROWS, 2.5),
        (MomentKind.FINISHED, 2.5),
    ]
    assert moments[0].text == "local/shop on orders (postgres)"
    assert moments[1].text == "SELECT\n1"
    assert moments[1].notes == ("SELECT", "allow by policy0", "$1 = a", "$2 = NULL")
    assert (moments[2].columns, moments[2].rows) == (("n",), (("1",), (None,)))
    assert moments[3].notes == ("ok", "2 rows", "n masked by null")


def test_replay_has_a_moment_for_every_kind(directory: Path, recording: FileRecording) -> None:
    """Of everything that can happen."""
    record(recording)
    assert {moment.kind for moment in replay(directory, "s1")} == set(MomentKind) - {MomentKind.DAMAGE}


def test_hostile_text_is_harmless(directory: Path, recording: FileRecording) -> None:
    """No control or format character comes out of replay or of `safe`; lines only where a text may have lines."""
    hostile(recording)
    moments = list(replay(directory, "evil"))
    shown = texts([moments, safe(show(directory, "evil")), safe(sessions(directory, 9))])
    assert sum("owned" in text for text in shown) > 30
    assert not [text for text in shown if not text.replace("\n", "").isprintable()]
    lists: list[object] = [safe(sessions(directory, 9)), [moment.notes + moment.columns for moment in moments]]
    assert not [text for text in texts(lists) if "\n" in text]
    raw = texts(show(directory, "evil"))
    assert any("\x1b" in text for text in raw), "what is recorded is what was sent"


def test_half_line_ends_reading_and_damage_is_said(directory: Path, recording: FileRecording) -> None:
    """A crash's half line is no damage; a line that is no record is, and what stood before it is shown."""
    record(recording)
    path = path_of(directory)
    lines = whole(path)
    path.write_bytes(b"".join(lines[:4]) + lines[4][:30])
    assert len(list(read(path))) == 4
    assert (show(directory, "s1").damage, summarize(path).state) == ("", SessionState.UNSEALED)
    path.write_bytes(b"".join(lines[:4]) + b"\x1b[2J\n" + b"".join(lines[5:]))
    with pytest.raises(DamagedRecording, match="line 4 is not a record: run `ostiary audit verify`"):
        list(read(path))
    assert "line 4" in show(directory, "s1").damage
    assert [moment.kind for moment in replay(directory, "s1")][-1] is MomentKind.DAMAGE
    path.write_bytes(lines[0] + lines[1].replace(b'"principal":"local/shop"', b'"principal":["\x1b"]'))
    with pytest.raises(DamagedRecording, match=r"line 1: record 1 of kind session_started has an unreadable body"):
        list(read(path))
    assert summarize(path).state is SessionState.UNREADABLE
    path.write_bytes(lines[0] + lines[1].replace(b"session_started", b"session_unknown"))
    assert "unknown kind" in show(directory, "s1").damage


def test_newer_format_says_to_upgrade(directory: Path, recording: FileRecording) -> None:
    """In the list, in `show` and in a replay."""
    record(recording)
    path = path_of(directory)
    path.write_bytes(path.read_bytes().replace(b'{"v":1,', b'{"v":2,'))
    with pytest.raises(NewerFormat, match="upgrade ostiary"):
        list(read(path))
    assert summarize(path).state is SessionState.UNREADABLE
    assert "upgrade ostiary" in show(directory, "s1").damage


def test_unknown_members_are_ignored(directory: Path, recording: FileRecording) -> None:
    """A later version may add facts to a body."""
    record(recording)
    path = path_of(directory)
    path.write_bytes(path.read_bytes().replace(b'"lease_id":', b'"new":[1],"lease_id":'))
    assert show(directory, "s1").lease == LeaseIssued("l1", "role", "ostiary_s1")


def test_prefix_finds_the_only_session(directory: Path, recording: FileRecording) -> None:
    """A whole id wins over longer ones; what is unknown, ambiguous or no id is said."""
    for session_id in ("abc1", "abc2", "abc", "x"):
        record(recording, session_id)
    for prefix, session_id in (("abc1", "abc1"), ("abc", "abc"), ("x", "x")):
        assert find(directory, prefix).name == f"120000-{session_id}.rec"
    for prefix, sentence in (
        ("ab", "ab is the beginning of abc2, abc1, abc"),
        ("y", "no recording of a session y"),
        ("../x", "a session id is letters, digits, - and _"),
        ("\x1b[2J", "a session id is letters, digits, - and _"),
        ("", "a session id is letters, digits, - and _"),
    ):
        with pytest.raises(NoSuchSession) as caught:
            find(directory, prefix)
        assert str(caught.value).startswith(sentence)
    with pytest.raises(NoSuchSession):
        replay(directory / "nowhere", "x")


def test_many_candidates_are_counted(directory: Path, recording: FileRecording) -> None:
    """Five are named."""
    for n in range(8):
        record(recording, f"s{n}")
    with pytest.raises(NoSuchSession, match=r"s7, s6, s5, s4, s3 and 3 more$"):
        find(directory, "s")


def test_moment_of_a_cut_text_says_so(directory: Path, recording: FileRecording) -> None:
    """With its length and digest."""
    recorder = recording.open("s1")
    recorder.write(intent(1, "x" * 70_000))
    recorder.close("done")
    (moment,) = replay(directory, "s1")
    assert isinstance(moment, Moment)
    assert moment.notes[-1].startswith("text is cut: 70000 bytes, SHA-256 ")
