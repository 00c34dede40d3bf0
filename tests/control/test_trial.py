"""The way to a target, tried: where it ends, it says why, and what was lent comes back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from ostiary.control import trial
from ostiary.control.access import Access, Caller, Permission
from ostiary.control.changes import Changes
from ostiary.control.trial import TargetTrial, Trial
from ostiary.control.verification import Busy
from ostiary.core import Lease, Principal, PrincipalKind, Refusal, RefusalKind, Secret, Target, TlsMode, TlsSettings
from ostiary.credentials.postgres_login import LoginFailed
from ostiary.gate.ports import Refused
from ostiary.policy import ControlAction
from ostiary.runtime import probe
from ostiary.runtime.probe import Unreached

CALLER = Caller(Principal(PrincipalKind.HUMAN, "ci", "o", frozenset(), 0, time.time() + 60, "j"), "h:1")


@dataclass
class World:
    """Everything a trial stands on. `fails`: the step that does."""

    fails: str = ""
    out: list[str] = field(default_factory=list)

    def require(self, caller: Caller, action: ControlAction, target: str) -> Permission:
        """As Access."""
        assert (action, target) == (ControlAction.ADMINISTER, "orders")
        return Permission(caller, action, ())

    @asynccontextmanager
    async def making(self, *_: object) -> AsyncIterator[Any]:
        """As Changes."""

        class Making:
            after: Any = None

        yield Making()

    async def lease(self, session_id: str, principal: Principal, target: Target) -> Lease:
        """As Credentials."""
        del principal, target
        if self.fails == "credential":
            raise Refused(Refusal(RefusalKind.CREDENTIAL, "no\x1bpassword", "look"))
        self.out.append(session_id)
        return Lease("l", "app", Secret("canary"), "static")

    async def revoke(self, target: Target, lease: Lease) -> str:
        """As Credentials."""
        del target, lease
        self.out.pop()
        return "given back"

    async def log_in(self, target: Target, lease: Lease) -> str:
        """Of the server."""
        del target, lease
        if self.fails == "login":
            raise LoginFailed("refused it")
        if self.fails == "time":
            await asyncio.Event().wait()
        return "in"

    async def run(self, monkeypatch: pytest.MonkeyPatch) -> Trial:
        """A trial."""

        class Writer:
            transport = property(lambda self: self)

            def get_extra_info(self, name: str) -> tuple[str, int]:
                assert name == "peername"
                return ("10.0.0.1", 5432)

            def abort(self) -> None:
                """Nothing is open."""

        async def resolve(_: Target) -> str:
            if self.fails == "resolve":
                raise Unreached("no such name")
            return "10.0.0.1"

        async def connect(_: Target) -> tuple[None, Writer]:
            return None, Writer()

        monkeypatch.setattr(probe, "resolve", resolve)
        monkeypatch.setattr(probe, "connect", connect)
        target = Target("orders", "postgres", "db", 5432, "orders", tls=TlsSettings(TlsMode.DISABLE))
        tried = TargetTrial(
            cast("Access", self),
            cast("Changes", self),
            {"orders": target},
            lambda _: (b"", b""),
            cast("Any", self),
            self.log_in,
        )
        return await tried.run(CALLER, "orders")


@pytest.mark.parametrize(
    ("fails", "steps"),
    [
        ("", ["resolve", "connect", "tls", "credential", "login", "give back"]),
        ("resolve", ["resolve"]),
        ("credential", ["resolve", "connect", "tls", "credential"]),
        ("login", ["resolve", "connect", "tls", "credential", "login", "give back"]),
        ("time", ["resolve", "connect", "tls", "credential", "give back", "time"]),
    ],
)
async def test_it_ends_where_it_fails(fails: str, steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes after a step that failed but the return of what was lent; no secret is said."""
    monkeypatch.setattr(trial, "SECONDS", 0.05)
    world = World(fails)
    found = await world.run(monkeypatch)
    assert [step.name for step in found.steps] == steps
    assert [step.name for step in found.steps if not step.ok] == ([fails] if fails else [])
    assert found.ok is not bool(fails)
    assert world.out == []
    assert "canary" not in repr(found)
    assert "\x1b" not in repr(found)


async def test_no_more_at_once_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one more is turned away."""
    monkeypatch.setattr(trial, "MAX_TRIALS", 0)
    with pytest.raises(Busy):
        await World().run(monkeypatch)
