"""What other policies would have made of what was recorded."""

import time
from pathlib import Path

import pytest

from ostiary.control import simulation
from ostiary.control.simulation import Change, Simulation, SimulationFilter, simulate
from ostiary.core import Action, ActionRefused, IntentRecorded, SessionStarted, Shape, Target, Verdict
from ostiary.policy.load import load_texts
from ostiary.protocols.registry import PROTOCOLS
from ostiary.recording import FileRecording, Signer

NOW = """\
@id("works") permit (principal in Group::"app", action, resource in Target::"orders");
@id("bounded") forbid (principal, action == Action::"delete", resource) unless { context.has_where };
"""
TARGETS = {"orders": Target("orders", "postgres", "h", 1, "orders")}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Four sessions of two principals, and one on a target that is no longer declared."""
    recording = FileRecording(tmp_path / "r", Signer.load(tmp_path / "key"), fsync="never")
    for number in range(5):
        recorder = recording.open(f"s{number}")
        who = f"job{number % 2}"
        target = "gone" if number == 4 else "orders"
        recorder.write(
            SessionStarted(
                f"s{number}",
                f"ci:{who}",
                "workload",
                "ci",
                who,
                ("app",),
                {},
                "j",
                target,
                "postgres",
                "10.0.0.1:5",
                (),
            )
        )
        reads = ("read orders/public.people",)
        recorder.write(IntentRecorded(1, "SELECT email FROM people", "reads people", (), reads, "allow", ("works",)))
        deletes = ("delete orders/public.people",)
        recorder.write(ActionRefused(2, "DELETE FROM people", "deletes", deletes, "policy", "no", ("bounded",)))
        recorder.write(ActionRefused(3, "SELECT 1", "reads", reads, "recording", "disk", ()))
        recorder.close("")
    recording.close()
    return tmp_path / "r"


def judged(target: Target, text: str) -> Action:
    """As the gate does without a catalogue."""
    return PROTOCOLS[target.protocol]().judged(target, text)


def told(home: Path, proposed: str, wanted: SimulationFilter | None = None, after: str = "") -> Simulation:
    """One part."""
    current, other = load_texts({"now.cedar": NOW}), load_texts({"new.cedar": proposed})
    return simulate(home, wanted or SimulationFilter(), current, other, TARGETS, judged, after)


def test_the_same_rules_differ_in_nothing(home: Path) -> None:
    """And rule as was recorded; what something else refused is not policy's."""
    found = told(home, NOW)
    assert (found.sessions, found.commands, found.changes) == (4, 8, ())
    assert (found.skipped, found.drifted, found.next) == (0, 0, None)


def test_differences_are_gathered_by_shape(home: Path) -> None:
    """What it was, what it would be, by which rules, how often and whose."""
    found = told(home, NOW + '@id("no-people") forbid (principal, action, resource in Object::"orders/public.people");')
    (change,) = found.changes
    assert change == Change(
        "orders",
        "reads people",
        Verdict.ALLOW,
        Verdict.DENY,
        ("works",),
        ("no-people",),
        4,
        ("ci:job1", "ci:job0"),
        "s3",
        "SELECT email FROM people",
    )


def test_what_would_be_let_through(home: Path) -> None:
    """A rule that goes is as much a difference; the analysis of the text still says that there was no WHERE."""
    (change,) = told(home, NOW.splitlines()[0]).changes
    assert (change.before, change.after, change.summary, change.count) == (
        Verdict.DENY, Verdict.ALLOW, "deletes", 4
    )  # fmt: skip


def test_sessions_that_would_not_begin(home: Path) -> None:
    """Connecting is ruled on too."""
    found = told(home, 'permit (principal in Group::"other", action, resource);')
    assert {(change.summary, change.after, change.count) for change in found.changes} == {
        ("connect", Verdict.DENY, 4),
        ("reads people", Verdict.DENY, 4),
    }


def test_drift_is_told_apart(home: Path) -> None:
    """Where the rules in force do not rule as was recorded, the record is no witness for them."""
    current = load_texts({"now.cedar": NOW.splitlines()[0]})
    found = simulate(home, SimulationFilter(), current, current, TARGETS, judged)
    assert (found.drifted, found.changes) == (4, ())


def test_parts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each session once, whatever a part holds; filters by target and time."""
    monkeypatch.setattr(simulation, "MAX_OPENED", 2)
    after: str | None = ""
    sessions = parts = 0
    while after is not None:
        found = told(home, NOW, after=after)
        sessions, parts, after = sessions + found.sessions, parts + 1, found.next
    assert (sessions, parts) == (4, 3)
    assert told(home, NOW, SimulationFilter("stock")).sessions == 0
    assert told(home, NOW, SimulationFilter("", time.time() + 60)).sessions == 0


def test_what_can_not_be_analysed_counts_against_it(home: Path) -> None:
    """As at the gate: nothing is known of it but what was recorded."""

    def nothing(target: Target, text: str) -> Action:
        del target, text
        raise ValueError("no")

    current = load_texts({"now.cedar": NOW})
    found = simulate(home, SimulationFilter(), current, current, TARGETS, nothing)
    assert (found.commands, found.skipped, found.drifted) == (8, 0, 0)
    assert Shape((), "").context == {}
