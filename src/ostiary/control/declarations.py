"""Changing what is declared: planned against what there is, validated as the whole, stored in one change.

What the configuration's files declare is theirs, and only read here. Whoever may `administer` a target may change it
and its classifications; everything else, a target's labels among it, takes `administer` on the gateway.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from ostiary.control.access import Caller, Permission
from ostiary.control.changes import Changes
from ostiary.control.inventory import NotFound
from ostiary.control.paging import Page, Reader, page_of
from ostiary.control.plan import PATHS, Change, Planned, Refused, hidden, patched, planned
from ostiary.policy import ControlAction
from ostiary.resources import (
    Declared,
    Key,
    ResourceKind,
    ResourceRepository,
    StoredResource,
    StoredResources,
    checked,
    title,
    within_bounds,
)

_ADMINISTER: Final = ControlAction.ADMINISTER
_VIEW: Final = ControlAction.VIEW
#: Attempts at a change while others change something else.
_TRIES: Final = 3


class NotLoadable(ValueError):  # noqa: N818 - reads as what happened
    """The configuration would not load. `problems` are sentences that name file and line, or the resource."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Raced(Exception):  # noqa: N818 - reads as what happened
    """Somebody else changed what is declared in between."""


class Stale(Exception):  # noqa: N818 - reads as what happened
    """It is not as the caller has seen it."""


class Unconditional(Exception):  # noqa: N818 - reads as what happened
    """The caller would overwrite what they may not have seen."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller says they have seen (RFC 9110, 13.1)."""

    #: Revisions, one of which it must have; None: they say nothing.
    revisions: frozenset[int] | None = None
    #: It must be there, whatever it is.
    any: bool = False
    #: It must not be there.
    none: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """Where a resource stands, and what it says."""

    key: Key
    #: FILE:LINE; None: it is stored.
    place: str | None
    #: None for whoever may not change it.
    document: Mapping[str, Any] | None
    #: None where a file declares it.
    revision: int | None = None
    changed_at: float | None = None
    changed_by: str | None = None


class InForce(StrEnum):
    """When a change rules."""

    #: In this process; in every other within seconds.
    NOW = "now"
    SOON = "within 5 s"
    #: It was only to be shown.
    NOT = "not"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change came to."""

    #: Of everything that is stored, afterwards.
    revision: int
    changes: tuple[Planned, ...]
    #: Nothing was made: it was only to be shown.
    dry_run: bool
    in_force: InForce

    @property
    def changed(self) -> bool:
        """There is a difference."""
        return any(each.change is not Change.UNCHANGED for each in self.changes)


def told(outcome: Outcome) -> dict[str, Any]:
    """In plain types, as the API and the CLI show it; of a file its name alone."""
    return {
        "revision": outcome.revision,
        "changed": outcome.changed,
        "dry_run": outcome.dry_run,
        "in_force": outcome.in_force.value,
        "changes": [
            {
                "kind": each.key.kind.value,
                "name": each.key.name,
                "change": each.change.value,
                "place": None if each.place is None else Path(each.place).name,
                "differences": [asdict(difference) for difference in each.differences],
            }
            for each in outcome.changes
        ],
    }


class Grants(Protocol):
    """Who may: `Access`, or the system's word for who works on the gateway's host."""

    def require(self, caller: Caller, action: ControlAction, target: str = "") -> Permission:
        """See Access."""
        ...

    def permits(self, caller: Caller, action: ControlAction, target: str = "") -> bool:
        """See Access."""
        ...


class HostOperator:
    """Who works on the state store on the gateway's host: the system lets them, and no policy is asked."""

    def require(self, caller: Caller, action: ControlAction, target: str = "") -> Permission:
        """Always."""
        del target
        return Permission(caller, action, ())

    def permits(self, caller: Caller, action: ControlAction, target: str = "") -> bool:
        """Always."""
        del caller, action, target
        return True


class Declarations:
    """The use-cases.

    Args:
        access: who may.
        changes: the audit log.
        repository: what is stored.
        declared: what the files declare, as it is in force.
        load: reads the files and validates them with what is given as stored. Raises NotLoadable.
        adopted: brings what is stored into force here; False when that goes on; None: this is no gateway.
        reader: threads to load in.
        clock: Unix seconds.
    """

    def __init__(
        self,
        access: Grants,
        changes: Changes,
        repository: ResourceRepository,
        declared: Callable[[], Mapping[Key, Declared]],
        load: Callable[[Sequence[StoredResource]], None],
        adopted: Callable[[], Awaitable[bool]] | None,
        reader: Reader,
        clock: Callable[[], float],
    ) -> None:
        self._access = access
        self._changes = changes
        self._repository = repository
        self._declared = declared
        self._load = load
        self._adopted = adopted
        self._reader = reader
        self._clock = clock

    # ------------------------------------------------------------ reading

    async def show(self, caller: Caller, key: Key) -> Declaration:
        """One of them. Raises Denied, NotFound."""
        self._access.require(caller, _VIEW, _scope(key))
        found = await self.find(caller, key)
        if found is None:
            raise NotFound(f"there is no {title(key)}")
        return found

    async def list(self, caller: Caller, kind: ResourceKind, after: str, limit: int) -> Page[Declaration]:
        """All of a kind, by name. Raises Denied."""
        self._access.require(caller, _VIEW)
        there = self._declared()
        stored = {each.key: each for each in (await self._repository.all()).items}
        keys = sorted({key for key in (*stored, *there) if key.kind is kind})
        shown = [(key.name, self._shown(caller, key, there.get(key), stored.get(key))) for key in keys]
        return page_of(shown, after, limit)

    async def find(self, caller: Caller, key: Key) -> Declaration | None:
        """One of them, for whoever may view it: whoever calls this has asked."""
        there = self._declared().get(key)
        stored = next((each for each in (await self._repository.all()).items if each.key == key), None)
        return None if there is None and stored is None else self._shown(caller, key, there, stored)

    def _shown(self, caller: Caller, key: Key, there: Declared | None, stored: StoredResource | None) -> Declaration:
        may = self._access.permits(caller, _ADMINISTER, _scope(key))
        if there is not None:
            return Declaration(key, there.place, there.document if may else None)
        assert stored is not None
        document = stored.document if may else None
        return Declaration(key, None, document, stored.revision, stored.changed_at, stored.changed_by)

    # ------------------------------------------------------------ changing

    async def put(self, caller: Caller, key: Key, document: Mapping[str, Any], seen: Seen, *, dry_run: bool) -> Outcome:
        """Make it this. Raises Denied, Refused, Stale, Unconditional, NotLoadable, Raced, OSError."""

        def wanted(before: StoredResource | None) -> Mapping[str, Any]:
            if before is not None and seen.revisions is None and not seen.any and not dry_run:
                raise Unconditional(f"{title(key)} is there already")
            return document

        return await self._change_one(caller, key, wanted, seen, dry_run=dry_run)

    async def patch(self, caller: Caller, key: Key, patch: Mapping[str, Any], seen: Seen, *, dry_run: bool) -> Outcome:
        """Merge this into it (RFC 7396). Raises as `put`, and NotFound."""

        def wanted(before: StoredResource | None) -> Mapping[str, Any]:
            if before is None:
                raise NotFound(f"there is no {title(key)} to change")
            merged = patched(before.document, patch)
            assert isinstance(merged, dict)
            return merged

        return await self._change_one(caller, key, wanted, seen, dry_run=dry_run)

    async def delete(self, caller: Caller, key: Key, seen: Seen, *, dry_run: bool) -> Outcome:
        """Raises as `put`, and NotFound."""

        def wanted(before: StoredResource | None) -> None:
            if before is None:
                raise NotFound(f"there is no {title(key)}")
            if seen.revisions is None and not seen.any and not dry_run:
                raise Unconditional(f"{title(key)} may have changed since you looked")

        return await self._change_one(caller, key, wanted, seen, dry_run=dry_run)

    async def apply(
        self,
        caller: Caller,
        wanted: Sequence[tuple[Key, Mapping[str, Any]]],
        *,
        prune: bool,
        dry_run: bool,
        revision: int | None = None,
    ) -> Outcome:
        """Make all of these so, in one change; `prune`: and delete what is stored beside them.

        `revision`: what is stored must be at it. Raises as `put`.
        """
        # Before anything is compared: nobody learns what is there who may not change it.
        for scope in {_scope(key) for key, _ in wanted} | ({""} if prune else set()):
            self._access.require(caller, _ADMINISTER, scope)
        documents = dict(wanted)
        if len(documents) != len(wanted):
            twice = next(key for index, (key, _) in enumerate(wanted) if key in dict(wanted[:index]))
            raise NotLoadable([f"{title(twice)}: it is there twice"])

        def plan(current: StoredResources) -> Mapping[Key, Mapping[str, Any] | None]:
            if revision not in (None, current.revision):
                raise Stale(f"what is stored is at revision {current.revision}, not {revision}")
            gone = [each.key for each in current.items if each.key not in documents] if prune else []
            return {**documents, **dict.fromkeys(gone)}

        return await self._change(caller, plan, dry_run=dry_run)

    async def _change_one(
        self,
        caller: Caller,
        key: Key,
        wanted: Callable[[StoredResource | None], Mapping[str, Any] | None],
        seen: Seen,
        *,
        dry_run: bool,
    ) -> Outcome:
        # Nobody learns what is there who may not change it.
        self._access.require(caller, _ADMINISTER, _scope(key))

        def plan(current: StoredResources) -> Mapping[Key, Mapping[str, Any] | None]:
            there = self._declared().get(key)
            before = next((each for each in current.items if each.key == key), None)
            if there is not None and before is None:
                raise Refused(key, there.place)
            wrong = (
                (before is not None and seen.none)
                or (before is None and (seen.any or seen.revisions is not None))
                or (before is not None and seen.revisions is not None and before.revision not in seen.revisions)
            )
            if wrong:
                raise Stale(f"{title(key)} is not as you have seen it")
            return {key: wanted(before)}

        return await self._change(caller, plan, dry_run=dry_run)

    async def _change(
        self,
        caller: Caller,
        plan: Callable[[StoredResources], Mapping[Key, Mapping[str, Any] | None]],
        *,
        dry_run: bool,
    ) -> Outcome:
        for _ in range(_TRIES):
            current = await self._repository.all()
            before = {each.key: each for each in current.items}
            changes = planned(plan(current), before, self._declared())
            permissions = [self._permission(caller, each) for each in changes]
            puts = [StoredResource(*each.key, each.after or {}) for each in changes if each.is_put]
            gone = [each.key for each in changes if each.change is Change.DELETE]
            after = {**before, **{each.key: each for each in puts}}
            for key in gone:
                del after[key]
            _check_bounds(puts, after.values())
            outcome = Outcome(current.revision, tuple(changes), dry_run, InForce.NOT if dry_run else InForce.NOW)
            if not outcome.changed:
                return outcome
            await self._reader.read(partial(self._load, tuple(after.values())))
            if dry_run:
                return outcome
            revision = await self._make(caller, current.revision, changes, permissions, puts, gone)
            if revision is not None:
                return replace(outcome, revision=revision, in_force=await self._ruling())
        raise Raced("others change what is declared at the same moment")

    async def _ruling(self) -> InForce:
        return InForce.NOW if self._adopted is not None and await self._adopted() else InForce.SOON

    def _permission(self, caller: Caller, each: Planned) -> Permission:
        """Raises Denied."""
        scope = _scope(each.key)
        if each.key.kind is ResourceKind.TARGET and (
            each.before is None or each.after is None or each.before.get("labels") != each.after.get("labels")
        ):
            scope = ""
        return self._access.require(caller, _ADMINISTER, scope)

    async def _make(
        self,
        caller: Caller,
        at: int,
        changes: Sequence[Planned],
        permissions: Sequence[Permission],
        puts: Sequence[StoredResource],
        gone: Sequence[Key],
    ) -> int | None:
        """The new revision; None when somebody else was quicker."""
        try:
            async with AsyncExitStack() as stack:
                for each, permission in zip(changes, permissions, strict=True):
                    if each.change is not Change.UNCHANGED:
                        resource = f"{PATHS[each.key.kind]}/{each.key.name}"
                        before, after = hidden(each.before or {}), hidden(each.after or {})
                        making = self._changes.making(permission, resource, before, after, each.change.value)
                        await stack.enter_async_context(making)
                by = caller.principal.id
                made = await self._repository.change(at, puts, gone, by, self._clock())
                if made is None:
                    raise Raced("somebody else was quicker")
                return made
        except Raced:
            return None


def _check_bounds(puts: Sequence[StoredResource], after: Collection[StoredResource]) -> None:
    try:
        for each in puts:
            checked(each)
        within_bounds(after)
    except ValueError as error:
        raise NotLoadable([str(error)]) from None


def _scope(key: Key) -> str:
    """Target that it belongs to; "": the gateway."""
    match key.kind:
        case ResourceKind.TARGET:
            return key.name
        case ResourceKind.CLASSIFICATION:
            return key.name.partition("/")[0]
        case _:
            return ""
