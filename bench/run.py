"""`make bench`: the gateway (policy, masking, recording on), PgBouncer (session pooling) and the server itself.

TLS, where it is on, is on towards the client; the leg to the server is plain for all three. The three take turns within
each round, so that what else the machine does meets them alike; what is printed is the median over the rounds.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tests.real.servers import Unavailable

from bench.measure import READERS, Cell, Sample, cells, idle_sessions, masked_sample, select_only
from bench.stack import ROWS, Stack, raised


def main() -> int:
    """Run everything; the exit code says whether it could be run."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: under 90 seconds, noisy")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, help="rounds of pgbench")
    parser.add_argument("--seconds", type=int, help="seconds each run of pgbench takes")
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 3)
    seconds = options.seconds or (1 if options.quick else 2)
    idle = 200 if options.quick else 1000
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    try:
        with Progress(*columns, console=console) as progress:
            waiting = progress.add_task("starting PostgreSQL, PgBouncer, the gateway", total=None)
            with raised() as stack:
                progress.remove_task(waiting)
                figures = measured(stack, progress, rounds, seconds, idle, quick=options.quick)
    except Unavailable as why:
        console.print(f"can't be measured here: {why}")
        return 1
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        shown(figures)
    return 0


def measured(stack: Stack, progress: Progress, rounds: int, seconds: int, idle: int, *, quick: bool) -> dict[str, Any]:
    """All figures, as they are printed with --json."""
    wanted = cells(quick=quick)
    reads = 1 if quick else 2
    task = progress.add_task("", total=(rounds * len(wanted) * 3 * seconds) + reads * len(READERS) * 8 + 2 * idle / 100)
    taken: dict[Cell, dict[str, list[Sample]]] = {cell: {s.name: [] for s in stack.systems} for cell in wanted}
    for turn in range(rounds):
        for cell in wanted:
            order = stack.systems[turn % 3 :] + stack.systems[: turn % 3]
            for system in order:
                progress.update(task, description=f"round {turn + 1}/{rounds}: {cell}, {system.name}")
                taken[cell][system.name].append(select_only(stack, system, cell, seconds))
                progress.advance(task, seconds)
    return {
        "machine": {"cpus": os.cpu_count(), "cpu": _cpu(), "python": platform.python_version()},
        "rounds": rounds,
        "seconds": seconds,
        "select_only": [_row(cell, samples) for cell, samples in taken.items()],
        "million_rows": _million(stack, progress, task, reads),
        "idle": _idle(stack, progress, task, idle),
    }


def _row(cell: Cell, samples: dict[str, list[Sample]]) -> dict[str, Any]:
    ours, theirs = samples["gateway"], samples["pgbouncer"]
    return asdict(cell) | {
        "per_second": {name: round(median(s.per_second for s in taken)) for name, taken in samples.items()},
        "cpu_us": {name: round(median(s.cpu_us for s in samples[name]), 1) for name in ("pgbouncer", "gateway")},
        "throughput_ratio": round(median(o.per_second / t.per_second for o, t in zip(ours, theirs, strict=True)), 2),
        "cpu_ratio": round(median(o.cpu_us / t.cpu_us for o, t in zip(ours, theirs, strict=True)), 2),
    }


def _million(stack: Stack, progress: Progress, task: Any, reads: int) -> list[dict[str, Any]]:
    shown_as, count = masked_sample(stack.gateway)
    if count != ROWS or "@example.org" in shown_as:
        raise RuntimeError(f"the column is not masked through the gateway: {shown_as}, {count} rows")
    found = []
    for name, read in READERS.items():
        walls: dict[str, list[float]] = {"direct": [], "gateway": []}
        for _ in range(reads):
            for system in (stack.direct, stack.gateway):
                progress.update(task, description=f"one million rows: {name}, {system.name}")
                walls[system.name].append(read(stack, system))
                progress.advance(task, 4)
        ratio = median(g / d for g, d in zip(walls["gateway"], walls["direct"], strict=True))
        wall = {system: round(median(taken), 2) for system, taken in walls.items()}
        found.append({"how": name, "seconds": wall, "ratio": round(ratio, 2)})
    return found


def _idle(stack: Stack, progress: Progress, task: Any, count: int) -> dict[str, Any]:
    kilobytes = {}
    for tls in (False, True):
        progress.update(task, description=f"{count} idle sessions, TLS {'on' if tls else 'off'}")
        name = "tls" if tls else "plain"
        kilobytes[name] = round(idle_sessions(stack, count, tls=tls) / 1000, 1)
        progress.advance(task, count / 100)
    return {"sessions": count, "kilobytes_each": kilobytes}


def _cpu() -> str:
    try:
        with Path("/proc/cpuinfo").open() as told:
            return next(line.partition(":")[2].strip() for line in told if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def shown(figures: dict[str, Any]) -> None:
    """The same for people."""
    machine = figures["machine"]
    print(f"{machine['cpus']} CPUs ({machine['cpu']}), Python {machine['python']}")
    print(f"pgbench -S: {figures['rounds']} rounds of {figures['seconds']} s, medians; TLS towards the client only\n")
    print(f"{'':26}{'queries a second':>32}{'':10}{'CPU µs a query':>22}")
    names = ("mode", "clients", "TLS", "direct", "PgBouncer", "gateway", "ratio", "PgBouncer", "gateway", "ratio")
    widths = (-10, 8, 6, 12, 11, 10, 8, 12, 9, 8)
    print(_line(names, widths))
    for row in figures["select_only"]:
        speed, cpu = row["per_second"], row["cpu_us"]
        cells_shown = (
            row["mode"],
            row["clients"],
            "on" if row["tls"] else "off",
            *(f"{speed[name]:,}" for name in ("direct", "pgbouncer", "gateway")),
            f"{row['throughput_ratio']:.2f}",
            *(f"{cpu[name]:.1f}" for name in ("pgbouncer", "gateway")),
            f"{row['cpu_ratio']:.2f}",
        )
        print(_line(cells_shown, widths))
    print("\none million rows, one column of five masked (wall, TLS off)")
    for row in figures["million_rows"]:
        wall = row["seconds"]
        print(
            f"  {row['how']:14} direct {wall['direct']:6.2f} s   gateway {wall['gateway']:6.2f} s"
            f"   ratio {row['ratio']:.2f}"
        )
    idle = figures["idle"]
    each = idle["kilobytes_each"]
    print(f"\n{idle['sessions']} idle sessions: {each['plain']} KB each without TLS, {each['tls']} KB with it")


def _line(values: Sequence[object], widths: Sequence[int]) -> str:
    return "".join(
        f"{value!s:<{-width}}" if width < 0 else f"{value!s:>{width}}"
        for value, width in zip(values, widths, strict=True)
    )


if __name__ == "__main__":
    sys.exit(main())
