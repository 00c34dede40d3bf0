"""Numbers: what is counted comes out, whatever is in the labels; what several processes counted adds up."""

import os
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ostiary.telemetry import FAMILIES, Kind, Meter, Numbers, Snapshots, SnapshotWriter, exposition, families, merge
from ostiary.telemetry.meter import MAX_LABEL, MAX_SERIES
from ostiary.telemetry.snapshot import GONE_SECONDS

HOSTILE = 'x"} 1\n# HELP y\\z\x1b[2J\u202e'


def samples(numbers: Numbers) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """As Prometheus's own parser reads the page."""
    page = exposition(numbers).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_every_kind_is_read_back() -> None:
    """A counter, a gauge of a source, a histogram with its cumulative buckets and its sum."""
    meter = Meter()
    meter.count(families.RELOADS, "ok", by=2)
    meter.source(lambda: [(families.LEASES, ("orders", "active"), 1), (families.LEASES, ("orders", "active"), 1)])
    for seconds in (0.0004, 0.001, 0.002, 99.0):
        meter.observe(families.IDENTIFY, seconds, "ci", "ok")
    found = samples(meter.numbers())
    assert found["ostiary_reloads_total", frozenset({("result", "ok")})] == 2
    assert found["ostiary_leases", frozenset({("target", "orders"), ("state", "active")})] == 2
    at = frozenset({("issuer", "ci"), ("result", "ok")})
    name = "ostiary_identify_seconds"
    buckets = {dict(labels)["le"]: value for (of, labels), value in found.items() if of == f"{name}_bucket"}
    assert (buckets["0.0005"], buckets["0.001"], buckets["0.0025"], buckets["15.0"], buckets["+Inf"]) == (1, 2, 3, 3, 4)
    assert found[f"{name}_sum", at] == pytest.approx(99.0034)
    assert found[f"{name}_count", at] == 4
    assert meter.numbers() == meter.numbers(), "looking changes nothing"


def test_process_metrics_are_there() -> None:
    """Those that prometheus-client knows of this process."""
    found = samples(Meter().numbers())
    assert any(name == "process_resident_memory_bytes" and value > 0 for (name, _), value in found.items())


def test_hostile_labels_stay_one_short_label() -> None:
    """Quotes, newlines, escapes and a megabyte can make no other line, and no long one."""
    meter = Meter()
    meter.count(families.RELOADS, HOSTILE)
    meter.count(families.RELOADS, "x" * 1_000_000)
    page = exposition(meter.numbers())
    lines = [line for line in page.split(b"\n") if line.startswith(b"ostiary_reloads_total")]
    assert len(lines) == 2
    assert all(len(line) < 3 * MAX_LABEL for line in lines)
    assert not any(byte in page for byte in (b"\x1b", "\u202e".encode()))
    assert len(samples(meter.numbers())) > 2


def test_made_up_labels_are_bounded() -> None:
    """10,000 of them are as many series as there may be, the rest is counted under one, and nothing is lost."""
    meter = Meter()
    for number in range(10_000):
        meter.count(families.SESSIONS_REFUSED, f"t{number}", "postgres", "policy")
    numbers = meter.numbers()
    series = numbers[families.SESSIONS_REFUSED.name]
    assert len(series) == MAX_SERIES + 1
    assert sum(value[0] for value in series.values()) == 10_000
    assert numbers[families.SERIES_LOST.name][()] == (10_000 - MAX_SERIES,)
    many: list[Numbers] = [
        {families.RELOADS.name: {(f"r{part}-{n}",): (1.0,) for n in range(1500)}} for part in range(4)
    ]
    assert len(merge(many)[families.RELOADS.name]) == MAX_SERIES + 1


def test_wrong_labels_are_a_mistake() -> None:
    """Whoever counts with other labels than the metric has learns it."""
    with pytest.raises(ValueError, match="has the labels"):
        Meter().count(families.RELOADS)


def test_merging_adds_and_takes_the_greatest() -> None:
    """Counts and histograms add up; a version is the newest; what is no metric of ours is dropped."""
    one: Numbers = {"ostiary_rows": {("a", "p"): (1.0,)}, "ostiary_policy_version": {(): (3.0,)}}
    two: Numbers = {"ostiary_rows": {("a", "p"): (2.0,), ("a",): (9.0,)}, "ostiary_policy_version": {(): (2.0,)}}
    assert merge([one, two, {"evil": {(): (1.0,)}}]) == {
        "ostiary_rows": {("a", "p"): (3.0,)},
        "ostiary_policy_version": {(): (3.0,)},
    }


# ---------------------------------------------------------------- processes


class Worker:
    """A process that counts."""

    def __init__(self, directory: Path, clock: list[float]) -> None:
        self.meter = Meter()
        self.live = 1
        self.meter.source(lambda: [(families.SESSIONS, ("orders", "postgres"), self.live)])
        self._writer = SnapshotWriter(directory, self.meter, lambda: clock[0])

    def works(self, times: int) -> None:
        """Count, and write it down."""
        self.meter.count(families.RELOADS, "ok", by=times)
        self._writer.write()


def test_counts_of_processes_never_go_back(tmp_path: Path) -> None:
    """A worker that is gone leaves its counts and no gauge; its successor begins at nothing; files do not pile up."""
    clock = [1000.0]
    reader = Snapshots(tmp_path / "metrics", lambda: clock[0])
    seen = 0.0
    for _ in range(100):
        worker = Worker(tmp_path / "metrics", clock)
        for times in (1, 2):
            worker.works(times)
            numbers = reader.numbers()
            assert numbers[families.RELOADS.name]["ok",][0] == seen + times
            assert numbers[families.SESSIONS.name]["orders", "postgres"][0] == 1
            seen += times
        clock[0] += GONE_SECONDS
    numbers = reader.numbers()
    assert numbers[families.RELOADS.name] == {("ok",): (300.0,)}
    assert families.SESSIONS.name not in numbers
    assert list((tmp_path / "metrics").glob("*")) == []


def test_a_process_that_paused_is_not_counted_twice(tmp_path: Path) -> None:
    """It was taken for gone, and goes on."""
    clock = [1000.0]
    reader = Snapshots(tmp_path, lambda: clock[0])
    worker = Worker(tmp_path, clock)
    worker.works(5)
    clock[0] += GONE_SECONDS + 1
    assert reader.numbers()[families.RELOADS.name]["ok",] == (5.0,)
    worker.works(1)
    assert reader.numbers()[families.RELOADS.name]["ok",] == (6.0,)


def test_files_that_are_none_are_passed_over(tmp_path: Path) -> None:
    """Torn, foreign, huge: the others are still told; what an earlier run left is removed."""
    (tmp_path / "earlier.json").write_text("{}")
    reader = Snapshots(tmp_path, time.time)
    assert not (tmp_path / "earlier.json").exists()
    Worker(tmp_path, [time.time()]).works(1)
    (tmp_path / "torn.json").write_text('{"process": "x", "ti')
    os.truncate(tmp_path / "torn.json", 64 << 20)
    (tmp_path / "odd.json").write_text('{"process":"y","time":1e12,"numbers":{"ostiary_reloads":[[["ok"],[1,2,3]]]}}')
    assert reader.numbers()[families.RELOADS.name] == {("ok",): (1.0,)}
    assert (tmp_path / "odd.json").stat().st_mode


def test_snapshots_are_private(tmp_path: Path) -> None:
    """Nobody else reads or plants one."""
    Worker(tmp_path / "metrics", [1.0]).works(1)
    assert (tmp_path / "metrics").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "metrics").iterdir()} == {0o600}


def test_no_label_names_people_or_statements() -> None:
    """Labels are of a closed list."""
    allowed = {"target", "protocol", "kind", "verdict", "result", "issuer", "operation", "state", "event", "version"}
    allowed |= {"direction", "method", "route", "status", "sink"}
    assert {label for family in FAMILIES.values() for label in family.labels} <= allowed


def test_every_metric_is_documented() -> None:
    """docs/operations.md has a row for each, with its type, labels and meaning, and no other."""
    text = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `ostiary_")]
    wanted = []
    for family in FAMILIES.values():
        name = f"{family.name}_total" if family.kind is Kind.COUNTER else family.name
        labels = ", ".join(f"`{label}`" for label in family.labels) or "-"
        wanted.append(f"| `{name}` | {family.kind} | {labels} | {family.help} |")
    assert rows == wanted
