"""A gateway's state on disk, with hostile text in it, and the command line on top of it."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from typer import Typer
from typer.testing import CliRunner

from ostiary import config
from ostiary.app.check import problems_of
from ostiary.app.operations import operations_of
from ostiary.approvals import Approval, ApprovalRequest, Limits, Quorum
from ostiary.cli import Hooks, build
from ostiary.control import Operations, starter
from ostiary.core import (
    ActionFinished,
    ActionHeld,
    ActionRefused,
    IntentRecorded,
    LeaseIssued,
    Principal,
    PrincipalKind,
    Proof,
    Refusal,
    RefusalKind,
    RowsSeen,
    Secret,
    SessionEnded,
    SessionStarted,
)
from ostiary.gate.ports import Refused
from ostiary.recording import FileRecording, Signer
from ostiary.store import Store

#: Clears the screen, renames the window, goes up, hides, turns text around, is Rich markup, is a Rich emoji code.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x1b[1A\x9b31m\r\b\u202e\u200b[red]x[/red] [/] :skull: \\[b"
#: None of these may reach a terminal.
FORBIDDEN = ("\x1b", "\x07", "\x9b", "\r", "\b", "\u202e", "\u200b")
CONFIG = """\
server:
  state: sqlite:state.db
  tls: auto
  listen: {postgres: 127.0.0.1:0}
issuers:
  - {name: ci, type: oidc, issuer: "https://ci.example", audience: x}
targets:
  - name: orders
    protocol: postgres
    address: db.internal:5432
    tls: {mode: disable}
    credential: {type: static, username: app}
policies: policies
approvals:
  dba: {members: [{group: dba}], required: 1}
  two: {members: [{group: dba}], required: 2}
"""
POLICY = """\
@id("works") permit (principal in Group::"app", action, resource in Target::"orders");
@id("asks") @approval("dba") forbid (principal, action == Action::"define", resource);
"""
CODE = "7K2P7K2P"
TOKENS: Mapping[str, tuple[str, str]] = {"t-dana": ("dana", "dba"), "t-eve": ("eve", "app"), "t-job": ("job", "dba")}


async def identify(proof: Proof) -> Principal:
    """Believes the tokens above."""
    found = TOKENS.get(proof.token.reveal_text())
    if found is None:
        raise Refused(Refusal(RefusalKind.IDENTITY, "token refused: it is not known", "get another one"))
    subject, group = found
    end = time.time() + 600
    return Principal(PrincipalKind.HUMAN, "ci", subject, frozenset({group}), end, end, "jti")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON; nothing else was printed."""
        assert self.err == ""
        return json.loads(self.out)


@dataclass
class Desk:
    """A directory with a configuration, and commands on it."""

    home: Path
    served: list[tuple[Path, int, int]] = field(default_factory=list)
    demo: Callable[[bool, bool], int] = lambda once, as_json: int(once) + 2 * int(as_json)
    serve_error: Exception | None = None

    def __post_init__(self) -> None:
        (self.home / "policies").mkdir(parents=True)
        (self.home / "policies" / "all.cedar").write_text(POLICY)
        self.config.write_text(CONFIG)

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.home / "ostiary.yaml"

    def operations(self, path: Path) -> Operations:
        """As the composition root makes them, but for whom tokens prove."""
        return replace(operations_of(config.load(path)), identify=identify)

    def _check(self, path: Path) -> list[str]:
        try:
            return problems_of(config.load(path))
        except config.ConfigError as error:
            return list(error.problems)

    def _serve(self, path: Path, workers: int, worker: int) -> None:
        self.served.append((path, workers, worker))
        if self.serve_error is not None:
            raise self.serve_error

    @property
    def app(self) -> Typer:
        """The command line."""
        hooks = Hooks(
            self.operations, self._check, self._serve, starter.write, self.demo, config.schema, config.pieces, "1.2.3"
        )
        return build(hooks)

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, bare: bool = False) -> Done:
        """A command; `-c` is added unless `bare`."""
        typed: Sequence[str] = arguments if bare else (*arguments, "-c", str(self.config))
        environment = {
            "OSTIARY_TOKEN": None,
            "OSTIARY_CONFIG": None,
            "OSTIARY_API": None,
            "TERM": "dumb",
            **(env or {}),
        }
        done = CliRunner().invoke(self.app, list(typed), env=environment, prog_name="ostiary")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(done.exit_code, done.stdout, done.stderr)

    # ------------------------------------------------------------ what is there

    def record(self, session_id: str = "5f2c0001", text: str = HOSTILE, *, sealed: bool = True) -> Path:
        """A session with one command of each fate; every text in it is `text`."""
        recording = FileRecording(self.home / "recordings", Signer.load(self.home / "recording.key"), fsync="never")
        recorder = recording.open(session_id)
        who = (text, "workload", text, text, (text,), {"repository": text}, "jti")
        recorder.write(SessionStarted(session_id, *who, text, "postgres", text, (text,)), LeaseIssued("l", text, text))
        recorder.write(IntentRecorded(1, text, text, (text, None), (text,), "hold", (text,), CODE, (text,)))
        recorder.write(
            RowsSeen(1, (text, "b"), ((text, None), ("x", text))), RowsSeen(1, (text,), ((text,),), "diagnostic")
        )
        recorder.write(ActionFinished(1, "ok", text, 2, 10, {text: text}))
        recorder.write(ActionHeld(2, CODE, (text,), text, (text,)))
        recorder.write(ActionRefused(2, text, text, (text,), "approval", text, (text,)))
        if sealed:
            recorder.write(SessionEnded(text, text, 1, 1))
            recorder.close(text)
        else:
            # As the end of the process would: the lock goes with the file.
            os.close(recorder._chain.release())
        recording.close()
        return next((self.home / "recordings").rglob(f"*-{session_id}.rec"))

    def ask(self, code: str = CODE, text: str = HOSTILE, group: str = "dba") -> None:
        """A request that waits; every text in it is `text`."""
        now = time.time()
        request = ApprovalRequest(
            code=code,
            session_id=f"s-{code}",
            action_id=1,
            principal_kind="workload",
            issuer="ci",
            subject="job",
            principal_groups=(text,),
            target=text,
            text=f"DELETE FROM orders\n{text}",
            parameters=(text, None),
            accesses=(text,),
            summary=text,
            rules=(text,),
            reason=text,
            quorums=(Quorum(group, 2 if group == "two" else 1),),
            rows_estimate=12345,
            digest="d" * 64,
            created_at=now,
            expires_at=now + 600,
            node="node-1",
            owner="run-1",
        )
        self._stored(lambda store: store.approvals.add(Approval(request, heartbeat_at=now), Limits()))

    def start_state(self) -> None:
        """The state store, as a gateway that started once left it."""
        self._stored(lambda store: store.approvals.get("none"))

    def _stored(self, work: Callable[[Store], Awaitable[object]]) -> None:
        async def do() -> None:
            store = await Store.open(f"sqlite:///{self.home}/state.db")
            try:
                await work(store)
            finally:
                await store.close()

        asyncio.run(do())


def token(name: str) -> dict[str, str]:
    """The environment of somebody with this token."""
    return {"OSTIARY_TOKEN": Secret(name).reveal_text()}
