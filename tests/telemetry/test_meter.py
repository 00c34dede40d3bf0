"""Numbers: what is counted comes out, whatever is in the labels."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ostiary.telemetry import FAMILIES, Kind, Meter, Numbers, exposition, families
from ostiary.telemetry.meter import MAX_LABEL, MAX_SERIES

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


def test_wrong_labels_are_a_mistake() -> None:
    """Whoever counts with other labels than the metric has learns it."""
    with pytest.raises(ValueError, match="has the labels"):
        Meter().count(families.RELOADS)


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
