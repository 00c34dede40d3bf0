"""A running gateway's API without sockets: real rooms, callers by their tokens, sessions of a fake engine."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from httpx2 import ASGITransport, AsyncClient, Response
from starlette.types import ASGIApp

from ostiary import config
from ostiary.api.app import make_app
from ostiary.api.models.gateway import Version
from ostiary.app.api import Rooms, control_of
from ostiary.approvals import ApprovalService
from ostiary.core import Principal, PrincipalKind, Proof, Refusal, RefusalKind, Target
from ostiary.credentials import LeaseService
from ostiary.gate.attempts import Attempts
from ostiary.gate.ports import Refused
from ostiary.policy import CedarPolicy
from ostiary.recording import FileRecording, Signer
from ostiary.runtime.live import LiveSession, LiveSessions
from ostiary.store import Store
from tests.cli.kit import CONFIG, Desk

POLICY = """\
@id("works") permit (principal in Group::"app", action, resource in Target::"orders");
@id("asks") @approval("dba") forbid (principal, action == Action::"define", resource);
@id("ops-view") permit (principal in Group::"ops", action == Action::"view", resource in Gateway::"ostiary");
@id("ops-end") permit (principal in Group::"ops", action == Action::"administer", resource == Target::"orders");
@id("auditors") permit (principal in Group::"audit", action in [Action::"view", Action::"audit"], resource);
@id("approvers") permit (principal in Group::"dba", action == Action::"approve", resource == Target::"orders");
@id("admins") permit (principal in Group::"admins", action in [Action::"view", Action::"administer"], resource);
@id("no-admins-named-mallory")
forbid (principal == Human::"ci:mallory", action == Action::"administer", resource);
"""
MORE = """\
  - name: stock
    protocol: postgres
    address: db.internal:5433
    tls: {mode: disable}
    credential: {type: static, username: app}
    labels: {environment: production}
policies: policies
classification:
  - {target: orders, object: public.people.email, class: pii.email}
  - {target: stock, object: public.suppliers.phone, class: pii.phone}
masking:
  pii.email: {transform: partial}
"""
#: Token → subject, groups.
PEOPLE: Mapping[str, tuple[str, frozenset[str]]] = {
    "t-ops": ("olga", frozenset({"ops"})),
    "t-audit": ("ann", frozenset({"audit"})),
    "t-dana": ("dana", frozenset({"dba"})),
    "t-erin": ("erin", frozenset({"dba"})),
    "t-eve": ("eve", frozenset({"app"})),
    "t-mallory": ("mallory", frozenset({"ops"})),
    "t-admin": ("adam", frozenset({"admins"})),
    "t-all-admin": ("ruth", frozenset({"admins", "audit"})),
    "t-all": ("root", frozenset({"ops", "audit", "dba"})),
}


class People:
    """Believes the tokens above; keeps what was presented."""

    def __init__(self) -> None:
        self.proofs: list[Proof] = []

    async def identify(self, proof: Proof) -> Principal:
        """As the port says."""
        self.proofs.append(proof)
        found = PEOPLE.get(proof.token.reveal().decode("latin-1"))
        if found is None:
            raise Refused(Refusal(RefusalKind.IDENTITY, "token refused: it is not known", "get another one"))
        end = time.time() + 600
        return Principal(PrincipalKind.HUMAN, "ci", found[0], found[1], end, end, "jti-1")


class Sessions(LiveSessions):
    """Live sessions that are only names."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, str] = {}
        self.ended: list[tuple[str, str, str]] = []
        self.closes = True

    def __iter__(self) -> Any:
        end = time.time() + 600
        job = Principal(PrincipalKind.WORKLOAD, "ci", "job", frozenset({"app"}), end, end, "jti-2")
        return iter([
            LiveSession(name, job, Target(target, "postgres", "h", 1, "d"), "10.0.0.1:5")
            for name, target in self.names.items()
        ])  # fmt: skip

    async def end(self, session_id: str, who: str, reason: str) -> bool | None:
        """Forget it."""
        if self.names.pop(session_id, None) is None:
            return None
        self.ended.append((session_id, who, reason))
        return self.closes


@dataclass
class Api:
    """The API, and what stands behind it."""

    desk: Desk
    app: ASGIApp
    people: People
    live: Sessions
    policy: CedarPolicy
    store: Store
    #: In force.
    targets: dict[str, Target]
    adopts: list[bool] = field(default_factory=lambda: [True])
    ready: list[bool] = field(default_factory=lambda: [True])
    #: Of the latest configuration.
    problems: list[str] = field(default_factory=list)
    _client: AsyncClient | None = None

    async def repermit(self, more: str) -> None:
        """Further rules, in force at once."""
        (self.desk.home / "policies" / "more.cedar").write_text(more)
        self.policy.reload()

    async def get(self, path: str, token: str | None = "t-all", **headers: str) -> Response:
        """A read. `_` in the names of headers stands for `-`."""
        return await self.send("GET", path, token, **headers)

    async def post(self, path: str, body: Any = None, token: str | None = "t-all", **headers: str) -> Response:
        """A change."""
        return await self.send("POST", path, token, body, **headers)

    async def send(
        self, method: str, path: str, token: str | None = "t-all", body: Any = None, **headers: str
    ) -> Response:
        """Any request."""
        assert self._client is not None
        sent = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
        if token is not None:
            sent[b"Authorization"] = f"Bearer {token}".encode()
        path = path if path.startswith(("/healthz", "/readyz", "/api")) else f"/api/v1{path}"
        if body is None:
            return await self._client.request(method, path, headers=sent)
        if isinstance(body, bytes):
            return await self._client.request(method, path, headers=sent, content=body)
        return await self._client.request(method, path, headers=sent, json=body)


@asynccontextmanager
async def serving(home: Path, server: str = "", masking: str = "") -> AsyncIterator[Api]:
    """An API on a gateway in a directory. `server`, `masking`: further lines of these sections."""
    desk = await asyncio.to_thread(Desk, home)
    desk.config.write_text(
        CONFIG.replace("policies: policies\n", MORE + masking)
        .replace("127.0.0.1:0}", "127.0.0.1:0, api: 127.0.0.1:0}")
        .replace("server:\n", "server:\n" + server)
    )
    (home / "policies" / "all.cedar").write_text(POLICY)
    settings = config.load(desk.config)
    async with AsyncExitStack() as stack:
        signer = Signer.load(settings.recording_key)
        recording = FileRecording(settings.recordings, signer, time.time, "never")
        stack.callback(recording.close)
        store = await Store.open(settings.state_url())
        stack.push_async_callback(store.close)
        approvals = ApprovalService(store.approvals, settings.approvals, time.time, "", "node-1")
        policy = CedarPolicy(settings.policies, time.time)
        people, live = People(), Sessions()
        targets = {target.name: target for target in settings.targets}
        ready, adopts, problems = [True], [True], list[str]()

        async def adopted() -> bool:
            return adopts[0]

        leases, attempts = LeaseService({}), Attempts(lambda: 0.0)
        rooms = Rooms(
            people,
            policy,
            targets,
            settings.approvals,
            settings.masking(),
            recording,
            signer,
            store,
            approvals,
            live,
            leases,
            attempts,
            adopted=adopted,
            problems=lambda: problems,
        )

        async def is_ready() -> bool:
            return ready[0]

        control = control_of(stack, settings, rooms)
        app = make_app(control, Version(version="1.2.3", node="node-1"), is_ready, tls=True)
        transport = ASGITransport(app=app, client=("127.0.0.1", 4711), raise_app_exceptions=True)
        client = await stack.enter_async_context(AsyncClient(transport=transport, base_url="https://gateway"))
        yield Api(desk, app, people, live, policy, store, targets, adopts, ready, problems, client)
