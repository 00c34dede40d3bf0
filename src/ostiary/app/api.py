"""The API put together: use-cases on the rooms of a running gateway, and their listener."""

import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ostiary import __version__
from ostiary.accounts import AccountRepository
from ostiary.app.declared import check_with, declared_by
from ostiary.app.listening import client_roots, listen, listener_tls
from ostiary.app.observing import count_request
from ostiary.app.operations import inventory_of, judged, kinds_of
from ostiary.app.people import PeopleRooms
from ostiary.approvals import ApprovalDesk, ApprovalGroup, ApprovalService
from ostiary.config import Settings
from ostiary.control import ServiceAccounts
from ostiary.control.access import Access
from ostiary.control.accounts import AccountControl
from ostiary.control.changes import Changes
from ostiary.control.decisions import Decisions
from ostiary.control.declarations import Declarations
from ostiary.control.gateway import GatewayControl
from ostiary.control.history import ChangeHistory
from ostiary.control.leases import LeaseControl
from ostiary.control.paging import Reader
from ostiary.control.revealing import Revealing
from ostiary.control.sessions import SessionControl
from ostiary.control.simulation import Simulator
from ostiary.control.streams import SessionStreams
from ostiary.control.trial import TargetTrial
from ostiary.control.verification import Verifier
from ostiary.core import Lease, Target
from ostiary.credentials import LeaseService
from ostiary.credentials.postgres_login import log_in
from ostiary.gate.attempts import Attempts
from ostiary.gate.limited import LimitedIdentity
from ostiary.gate.ports import Identity
from ostiary.masking import MaskingConfig
from ostiary.oauth import PATHS, PEOPLE_PATHS, OAuth
from ostiary.policy import CedarPolicy
from ostiary.protocols.registry import PROTOCOLS
from ostiary.recording import AuditLog, FileRecording, Signer, TrustedKeys
from ostiary.runtime.dial import target_context
from ostiary.runtime.live import LiveSessions
from ostiary.store import Store
from ostiary.telemetry import Meter, Numbers, exposition

if TYPE_CHECKING:
    from fastapi import APIRouter


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the gateway runs on."""

    identity: Identity
    policy: CedarPolicy
    #: Declared now.
    targets: Mapping[str, Target]
    groups: Mapping[str, ApprovalGroup]
    masking: MaskingConfig
    recording: FileRecording
    signer: Signer
    store: Store
    approvals: ApprovalService
    live: LiveSessions
    leases: LeaseService
    attempts: Attempts
    #: None: the gateway has no URL that it could issue tokens under.
    oauth: OAuth | None = None
    meter: Meter = field(default_factory=Meter)
    #: None: nobody signs in here.
    people: PeopleRooms | None = None
    #: None: one is opened.
    audit: AuditLog | None = None
    #: Brings what is stored into force; False: that goes on; None: none does.
    adopted: Callable[[], Awaitable[bool]] | None = None
    #: Why the latest configuration is not in force; none: it is.
    problems: Callable[[], Sequence[str]] = tuple
    #: Told what is in force, whenever that changes.
    followers: list[Callable[[Settings, MaskingConfig], None]] = field(default_factory=list)
    #: See `Part`.
    complete: Callable[[], bool] = lambda: True
    #: Of all processes; None: of this one alone.
    numbers: Callable[[], Numbers] | None = None


async def start_api(stack: AsyncExitStack, settings: Settings, rooms: Rooms) -> int:
    """Listen on `server.listen.api`; returns the port. Stopped by the stack, before what it stands on."""
    # Only who asks for the API loads what it is made of.
    from ostiary.api import metrics
    from ostiary.api.app import make_app
    from ostiary.api.models.gateway import Version
    from ostiary.api.routes.people import FORMS as PAGE_FORMS
    from ostiary.api.server import ApiServer

    assert settings.api is not None
    tls = listener_tls(settings, "http/1.1", client_roots(settings))
    version = Version(version=__version__, node=settings.node)

    async def ready() -> bool:
        await rooms.store.answers()
        return rooms.complete() and os.access(settings.recordings, os.W_OK | os.X_OK)

    beside = [metrics.build(lambda: exposition((rooms.numbers or rooms.meter.numbers)()))]
    if rooms.oauth is not None:
        from ostiary.api.routes import oauth

        beside.append(oauth.build(rooms.oauth, rooms.attempts, allow_plaintext_loopback=settings.plaintext_loopback))
    if rooms.people is not None:
        beside += _pages(settings, rooms.store, rooms.people)
    control = control_of(stack, settings, rooms)
    served = partial(count_request, rooms.meter)
    forms = [*PATHS.values(), *PEOPLE_PATHS.values(), *PAGE_FORMS]
    app = make_app(control, version, ready, tls=tls is not None, beside=beside, forms=forms, served=served)
    server = ApiServer(app, tls, rooms.attempts)
    port = await listen(server, *settings.api)
    stack.push_async_callback(server.stop)
    return port


def _pages(settings: Settings, store: Store, rooms: PeopleRooms) -> "list[APIRouter]":
    from ostiary.api.browser import Browsers
    from ostiary.api.routes import people, ways
    from ostiary.signin.sealed import Seal

    browsers = Browsers(rooms.logins, settings.url, plaintext_loopback=settings.plaintext_loopback)
    stands_on = people.People(
        browsers,
        rooms.logins,
        rooms.admins,
        rooms.passkeys,
        store.people,
        rooms.authorization,
        lambda: rooms.ways,
        time.time,
    )
    page = people.LoginPage(stands_on)
    seal = Seal(secrets.token_bytes(32))
    return [
        people.build(stands_on, page),
        ways.build(stands_on.ways, seal, page, time.time, secure=browsers.secure),
    ]


def _starttls(protocol: str) -> tuple[bytes, bytes]:
    return PROTOCOLS[protocol]().starttls()


async def _log_in(target: Target, lease: Lease) -> str:
    return await log_in(target, lease, target_context)


def control_of(stack: AsyncExitStack, settings: Settings, rooms: Rooms) -> GatewayControl:
    """Every use-case of a running gateway."""
    audit = rooms.audit
    if audit is None:
        audit = AuditLog(rooms.recording)
        stack.callback(audit.close)
    reader = Reader()
    stack.callback(reader.close)
    access = Access(LimitedIdentity(rooms.identity, rooms.attempts).identify, rooms.policy, rooms.targets)
    changes = Changes(audit.write)
    desk = ApprovalDesk(rooms.store.approvals, rooms.groups, time.time, rooms.approvals.wake)
    inventory = inventory_of(settings, access, rooms.policy, rooms.targets, rooms.masking, rooms.problems)
    revealing = Revealing(access, changes, rooms.policy, rooms.targets, rooms.masking)
    in_force = settings

    def follow(now: Settings, masking: MaskingConfig) -> None:
        nonlocal in_force
        in_force = now
        inventory.adopt(kinds_of(now), now.issuers, masking)
        revealing.adopt(masking)

    @asynccontextmanager
    async def accounts() -> AsyncIterator[AccountRepository]:
        yield rooms.store.accounts

    rooms.followers.append(follow)
    return GatewayControl(
        access,
        inventory,
        SessionControl(access, changes, settings.recordings, rooms.live, reader, rooms.store.presences, time.time),
        SessionStreams(access, settings.recordings, reader, time.monotonic),
        Decisions(access, changes, desk),
        Verifier(access, settings.recordings, TrustedKeys.of(rooms.signer.public), reader),
        ChangeHistory(access, settings.recordings, reader),
        Simulator(access, settings.recordings, lambda: rooms.policy.rules, rooms.targets, judged, reader),
        TargetTrial(access, changes, rooms.targets, _starttls, rooms.leases, _log_in),
        LeaseControl(access, changes, rooms.leases, rooms.live),
        Declarations(
            access,
            changes,
            rooms.store.resources,
            lambda: declared_by(in_force, rooms.policy),
            partial(check_with, settings),
            rooms.adopted,
            reader,
            time.time,
        ),
        AccountControl(access, ServiceAccounts(accounts, rooms.targets, lambda: nullcontext(changes), time.time)),
        revealing,
    )
