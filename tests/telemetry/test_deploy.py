"""The dashboard and the alerts ask for metrics and labels that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ostiary.telemetry import FAMILIES, Kind

DEPLOY = Path(__file__).parents[2] / "deploy"
#: Labels that Prometheus adds, or that belong to a kind.
COMMON = {"job", "instance", "le"}
#: Of prometheus-client, and of Prometheus.
OTHERS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "up"}


def exported() -> dict[str, set[str]]:
    """Name of each series → its labels."""
    found: dict[str, set[str]] = {name: set() for name in OTHERS}
    for family in FAMILIES.values():
        suffixes = {Kind.COUNTER: ["_total"], Kind.GAUGE: [""], Kind.HISTOGRAM: ["_bucket", "_count", "_sum"]}
        for suffix in suffixes[family.kind]:
            found[f"{family.name}{suffix}"] = set(family.labels)
    return found


def check(expression: str) -> set[str]:
    """Every metric and label of an expression is there; returns the metrics."""
    known = exported()
    text = re.sub(r'"[^"]*"', '""', expression)
    used = set(re.findall(r"\b(?:ostiary|process)_\w+|\bup\b", text))
    assert used, expression
    assert used <= known.keys(), expression
    labels = set().union(*(known[name] for name in used)) | COMMON
    grouped = {name.strip() for group in re.findall(r"\bby \(([^)]*)\)", text) for name in group.split(",")}
    assert grouped <= labels, expression
    for name, selector in re.findall(r"(\w+)\{([^}]*)\}", text):
        assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= known[name] | COMMON, expression
    assert text.count("(") == text.count(")")
    return used


def panels() -> Iterator[dict[str, Any]]:
    """Of the dashboard, without rows."""
    dashboard = json.loads((DEPLOY / "grafana/ostiary.json").read_text())
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def test_the_dashboard_shows_every_metric() -> None:
    """Each expression is answerable, each legend names a label of it, and no metric is left out but two."""
    shown: set[str] = set()
    for panel in panels():
        for target in panel["targets"]:
            used = check(target["expr"])
            shown |= {re.sub(r"_(?:total|bucket|count|sum)$", "", name) for name in used}
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                grouped = re.search(r"\bby \(([^)]*)\)", target["expr"])
                wanted = {name.strip() for name in grouped[1].split(",")} if grouped else COMMON
                assert label in wanted, target
    assert set(FAMILIES) - shown == {"ostiary_build_info", "ostiary_series_overflowed"}


def test_the_dashboard_can_be_loaded() -> None:
    """Ids are unique, panels lie side by side, its variables are asked of what there is."""
    dashboard = json.loads((DEPLOY / "grafana/ostiary.json").read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        taken |= cells
        assert at["x"] + at["w"] <= 24
    for variable in dashboard["templating"]["list"][1:]:
        match = re.fullmatch(r"label_values\((\w+)(\{.*\})?, (\w+)\)", variable["query"]["query"])
        assert match
        assert match[3] in exported()[match[1]] | COMMON


def test_alerts_ask_for_what_there_is() -> None:
    """Each with a severity and a sentence whose labels are of the answer."""
    [group] = yaml.safe_load((DEPLOY / "prometheus/ostiary.rules.yml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        used = check(rule["expr"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        labels = set().union(*(exported()[name] for name in used)) | COMMON
        grouped = re.search(r"\bby \(([^)]*)\)", rule["expr"])
        given = {name.strip() for name in grouped[1].split(",")} if grouped else labels
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= given
