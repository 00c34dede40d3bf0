"""Looking for commands and changes: what fits, all of it, in parts of a bounded size."""

from pathlib import Path

import pytest

from ostiary.core import ActionRefused, IntentRecorded, SessionStarted
from ostiary.recording import (
    AuditFilter,
    AuditLog,
    Change,
    ChangeStage,
    CommandFound,
    FileRecording,
    Signer,
    changes,
    commands,
    search,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three sessions on two targets, of ten commands each; twelve changes."""
    now = [1_700_000_000.0]
    recording = FileRecording(tmp_path / "r", Signer.load(tmp_path / "key"), lambda: now[0], fsync="never")
    for number in range(3):
        now[0] += 100
        recorder = recording.open(f"s{number}")
        who = f"ci:{number}"
        target = "stock" if number == 1 else "orders"
        recorder.write(
            SessionStarted(f"s{number}", who, "workload", "ci", str(number), (), {}, "j", target, "postgres", "h:1", ())
        )
        for action in range(9):
            recorder.write(
                IntentRecorded(
                    action, f"SELECT {action}", "", (), (f"read {target}/public.t{action}",), "allow", ("r",)
                )
            )
        text = "DELETE \x1b[2J"
        recorder.write(ActionRefused(9, text, "", (f"delete {target}/public.t",), "policy", "no", ("d",)))
        recorder.close("")
    log = AuditLog(recording)
    for number in range(12):
        now[0] += 1
        resource = f"sessions/s{number}"
        log.write(
            Change(
                ChangeStage.DONE,
                f"c{number}",
                "corp:dana",
                "j",
                "h:1",
                "administer",
                resource,
                ("r",),
                f"why {number}",
                {},
                {},
            )
        )
    log.close()
    recording.close()
    return tmp_path / "r"


def everything(home: Path, wanted: AuditFilter, limit: int, *targets: str) -> list[CommandFound]:
    """All parts."""
    found: list[CommandFound] = []
    after: str | None = ""
    while after is not None:
        part = commands(home, wanted, lambda target: target in targets, after, limit)
        assert len(part.items) <= limit
        found += part.items
        after = part.next
    return found


@pytest.mark.parametrize("limit", [1, 3, 10, 200])
def test_parts_make_the_whole(home: Path, limit: int) -> None:
    """Each command once, of the newest session first; only of targets that may be read."""
    found = everything(home, AuditFilter(), limit, "orders", "stock")
    assert [(each.session_id, each.action_id) for each in found] == [(f"s{n}", a) for n in (2, 1, 0) for a in range(10)]
    assert {each.session_id for each in everything(home, AuditFilter(), limit, "orders")} == {"s0", "s2"}


def test_filters(home: Path) -> None:
    """Each of them, and what they find is harmless to a terminal."""
    both = ("orders", "stock")
    assert len(everything(home, AuditFilter(principal="ci:1"), 200, *both)) == 10
    assert len(everything(home, AuditFilter(target="orders"), 200, *both)) == 20
    assert len(everything(home, AuditFilter(resource="orders/public.t3"), 200, *both)) == 2
    (first, *_) = refused = everything(home, AuditFilter(text="delete"), 200, *both)
    assert (len(refused), first.verdict, first.text) == (3, "refused: policy", r"DELETE \x1b[2J")
    assert everything(home, AuditFilter(action="delete", resource="orders/public.t3"), 200, *both) == []
    assert len(everything(home, AuditFilter(since=1_700_000_150.0), 200, *both)) == 20
    assert len(everything(home, AuditFilter(until=1_700_000_150.0), 200, *both)) == 10


def test_a_part_reads_no_more_than_it_may(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be empty, and not the last."""
    monkeypatch.setattr(search, "MAX_OPENED", 1)
    part = commands(home, AuditFilter(principal="ci:0"), lambda _: True)
    assert (part.items, part.next is not None) == ((), True)
    assert len(everything(home, AuditFilter(principal="ci:0"), 200, "orders")) == 10


@pytest.mark.parametrize("limit", [1, 5, 12, 100])
def test_changes(home: Path, limit: int) -> None:
    """Newest first, each once."""
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        part, after = changes(home, AuditFilter(), after, limit)
        found += [each.change.change_id for each in part]
    assert found == [f"c{number}" for number in reversed(range(12))]
    (only,) = changes(home, AuditFilter(resource="sessions/s7", text="WHY"))[0]
    assert only.change.change_id == "c7"
    assert changes(home, AuditFilter(principal="corp:eve"))[0] == ()
    assert changes(home, AuditFilter(action="approve"))[0] == ()


@pytest.mark.parametrize("after", ["x", "../x:", "a\nb:1", "a:1:2", "a:" + "9" * 16])
def test_positions(home: Path, after: str) -> None:
    """What is none is an error, and opens nothing."""
    with pytest.raises(ValueError, match="no position"):
        commands(home, AuditFilter(), lambda _: True, after)
    with pytest.raises(ValueError, match="no position"):
        changes(home, AuditFilter(), after)
    assert commands(home, AuditFilter(), lambda _: True, "../../../../etc/passwd:0").items == ()
