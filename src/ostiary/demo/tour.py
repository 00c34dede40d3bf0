"""The tour: what each side saw, step by step. Every step checks what it shows; one that fails ends the demo with 1."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from ostiary.demo.gateway import cli
from ostiary.demo.stage import Stage

_HOLD_SECONDS = 30.0
#: Ways to empty a table that a look at the text alone would miss.
UNBOUNDED = (
    "DELETE FROM orders",
    "WITH gone AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM gone",
    "/* tidy up */ DELETE/**/FROM orders -- WHERE id = 1",
    "DELETE FROM orders WHERE id = id OR 1 = 1",
)


class StepFailed(Exception):  # noqa: N818 - reads as what happened
    """The demo did not see what it promises."""


@dataclass(slots=True)
class Observed:
    """One step: its title, what was seen (for `--json`), and lines for people."""

    step: str
    title: str
    facts: dict[str, object] = field(default_factory=dict)
    #: Who saw, and what.
    lines: list[tuple[str, str]] = field(default_factory=list)

    def say(self, who: str, what: object) -> None:
        """Which side, and what it saw, line by line."""
        first, *more = str(what).splitlines() or [""]
        self.lines += [(who, first), *(("", line) for line in more)]

    def expect(self, held: bool, what: str) -> None:
        """Raises StepFailed."""
        if not held:
            raise StepFailed(f"{self.step}: {what}; observed {json.dumps(self.facts, default=str)[:800]}")


def masked_rows(stage: Stage) -> Observed:
    """Rows come back masked."""
    seen = Observed("masked-rows", "A program connects with its own token; classified columns are masked")
    query = "SELECT name, email, phone FROM customers ORDER BY id LIMIT 3"
    stored = stage.database.ask(query)
    with stage.connect(stage.shop) as connection:
        received = connection.execute(query).fetchall()
        cards = connection.execute("SELECT id, card FROM payments ORDER BY id LIMIT 2").fetchall()
        counted = connection.execute("SELECT count(*) FROM customers").fetchone()
    seen.facts = {"query": query, "stored": stored, "received": received, "cards": cards, "count": counted}
    for row in stored:
        seen.say("stored", row)
    for row in (*received, *cards):
        seen.say("received", row)
    leaked = [value for row in stored for value in row[1:] if str(value) in str(received)]
    seen.expect(not leaked and len(received) == 3 and counted == (100,), "a classified value came through")
    return seen


def session_role(stage: Stage) -> Observed:
    """A role for one session."""
    seen = Observed("session-role", "The database sees a role made for this session; then it is gone")
    query = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'ostiary\\_%'"
    with stage.connect(stage.shop) as connection:
        (role,) = connection.execute("SELECT current_user").fetchone() or ("",)
        during = [row[0] for row in stage.database.ask(query)]
    after: list[object] = during
    end = time.monotonic() + 10
    while role in after and time.monotonic() < end:
        time.sleep(0.05)
        after = [row[0] for row in stage.database.ask(query)]
    seen.facts = {"role": role, "during": during, "after": after}
    seen.say("program", f"current_user is {role}")
    seen.say("database", f"roles while it was connected: {during}")
    seen.say("database", f"roles after it left: {after}")
    seen.expect(role in during and role not in after, "the session's role was not there, or stayed")
    return seen


def blocked(stage: Stage) -> Observed:
    """A DELETE without a limit, four ways."""
    seen = Observed("unbounded-delete", "An unbounded DELETE is refused, however it is written")
    answers = []
    with stage.connect(stage.shop) as connection:
        for text in UNBOUNDED:
            try:
                connection.execute(text.encode())
                answer = "it ran"
            except psycopg.Error as error:
                answer = f"{error.sqlstate}: {error.diag.message_primary}"
            answers.append({"statement": text, "answer": answer})
            seen.say("program", text)
            seen.say("gateway", answer)
        (alive,) = connection.execute("SELECT 1").fetchone() or (0,)
    left = stage.database.ask("SELECT count(*) FROM orders")[0][0]
    seen.facts = {"answers": answers, "connection_goes_on": alive == 1, "rows_left": left}
    seen.say("database", f"{left} orders, all still there; the connection goes on")
    refused = all('denied by policy "no-unbounded-delete"' in each["answer"] for each in answers)
    seen.expect(refused and alive == 1 and left == 400, "a DELETE got through, or the session broke")
    return seen


def held(stage: Stage) -> Observed:
    """DDL waits for a person."""
    seen = Observed("held-drop", "A DROP waits inside the connection until a person approves it")
    notices: list[str] = []
    done: dict[str, object] = {}

    def run() -> None:
        try:
            with stage.connect(stage.shop) as connection:
                connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
                connection.execute("DROP TABLE orders_old")
                done["answer"] = "DROP TABLE"
        except psycopg.Error as error:
            done["answer"] = str(error)

    client = threading.Thread(target=run, daemon=True)
    client.start()
    listed = _until(lambda: json.loads(cli(stage.gateway, "approvals", "list", "-o", "json").stdout or "[]"))
    code = listed[0]["request"]["code"] if listed else ""
    own = cli(stage.gateway, "approvals", "approve", code, token=stage.shop)
    waiting = client.is_alive()
    approved = cli(stage.gateway, "approvals", "approve", code, "--reason", "migrated in 2019", token=stage.dba)
    client.join(_HOLD_SECONDS)
    exists = stage.database.ask("SELECT to_regclass('public.orders_old') IS NOT NULL")[0][0]
    seen.facts = {
        "notices": notices,
        "request": code,
        "own_approval": own.stderr.strip(),
        "waited": waiting,
        "approval": approved.stdout.strip(),
        "answer": done.get("answer"),
        "table_exists": exists,
    }
    seen.say("program", "DROP TABLE orders_old")
    for notice in notices[:1]:
        seen.say("gateway", notice)
    seen.say("itself", own.stderr.strip())
    seen.say("dba", f"ostiary approvals approve {code}  →  {approved.stdout.strip()}")
    seen.say("program", done.get("answer"))
    refused = own.returncode != 0 and waiting
    seen.expect(refused and done.get("answer") == "DROP TABLE" and not exists, "the DROP was not held, or not run")
    return seen


def two_identities(stage: Stage) -> Observed:
    """Another identity, other rights."""
    seen = Observed("other-identity", "Another program has other rights on the same target")
    with stage.connect(stage.report) as connection:
        (orders,) = connection.execute("SELECT count(*) FROM orders").fetchone() or (None,)
        try:
            connection.execute("SELECT amount FROM payments")
            answer = "it ran"
        except psycopg.Error as error:
            answer = str(error.diag.message_primary)
    seen.facts = {"orders": orders, "payments": answer}
    seen.say("report", f"how many orders?  →  {orders}")
    seen.say("report", f"which payments?  →  {answer}")
    seen.expect(orders == 400 and "denied" in answer, "the report read payments, or could not read orders")
    return seen


def replayed(stage: Stage) -> Observed:
    """The recording of the held session."""
    seen = Observed("replay", "Every session is recorded, with results as the client saw them")
    listed = json.loads(cli(stage.gateway, "sessions", "list", "-o", "json").stdout)
    shown: list[str] = []
    for session in listed:
        text = cli(stage.gateway, "sessions", "replay", session["session_id"]).stdout
        if "DROP TABLE orders_old" in text:
            shown = text.splitlines()
            break
    seen.facts = {"sessions": len(listed), "replay": shown}
    for line in shown[:24]:
        seen.say("", line)
    approved = any("approved by local:dba-ada" in line for line in shown)
    seen.expect(len(listed) >= 4 and approved, "the recordings do not show what happened")
    return seen


def tampered(stage: Stage) -> Observed:
    """One byte changed."""
    seen = Observed("tampering", "A recording that was touched is found")

    def verify() -> tuple[int, str]:
        done = cli(stage.gateway, "audit", "verify")
        return done.returncode, done.stdout.replace(f"{stage.gateway.home}/", "").strip()

    before = verify()
    listed = json.loads(cli(stage.gateway, "sessions", "list", "-o", "json").stdout)
    victim = Path(next(s["path"] for s in listed if s["state"] == "sealed"))
    original = victim.read_bytes()
    try:
        victim.write_bytes(original.replace(b"local:", b"lxcal:", 1))
        after = verify()
    finally:
        victim.write_bytes(original)
    seen.facts = {"before": before, "after": after, "changed": victim.name}
    seen.say("auditor", f"ostiary audit verify\n{before[1]}")
    seen.say("intruder", f"changes one byte of {victim.name}")
    seen.say("auditor", f"ostiary audit verify\n{after[1]}")
    seen.expect(before[0] == 0 and after[0] == 5, "the change was not found")
    return seen


STEPS: tuple[Callable[[Stage], Observed], ...] = (
    masked_rows,
    session_role,
    blocked,
    held,
    two_identities,
    replayed,
    tampered,
)


def _until(ask: Callable[[], list[dict[str, dict[str, str]]]]) -> list[dict[str, dict[str, str]]]:
    end = time.monotonic() + _HOLD_SECONDS
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.1)
    return []
