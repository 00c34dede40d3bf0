"""What runs unseen is joined to the statement that sets it off.

Functions that it calls, and whatever the relations, types and operators in it set off: triggers, rules, defaults,
checks, policies, foreign keys, casts. What their bodies do, the statement does; a body that can't be told makes it
UNKNOWN.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from ostiary.core import Operation, naming
from ostiary.protocols.postgres.catalog import Catalog
from ostiary.protocols.postgres.unseen import CONVERT, DELETE, EVENTS, INSERT, READ, UPDATE, Hook
from ostiary.sql import Name, Statement, Touch
from ostiary.sql.bodies import hidden
from ostiary.sql.builtins import NAMES
from ostiary.sql.extensions import computes
from ostiary.sql.flows import Flow
from ostiary.sql.model import Within
from ostiary.sql.walk import Walk

#: Bodies that one statement may set off before the rest is unknown.
MAX_BODIES: Final = 200
#: Of a foreign key: nothing that it does comes back.
_KEY: Final = Hook(READ, "", quiet=False)
_CHANGES: Final = INSERT | UPDATE | DELETE
#: What sets off the triggers of definitions.
_DEFINES: Final = frozenset({Operation.DEFINE, Operation.GRANT})
_RELATIONS: Final = ("relation", "locked")


class Reach:
    """By one catalogue. `trusted`: False when functions may have been replaced since it was read."""

    def __init__(self, catalog: Catalog, *, trusted: bool) -> None:
        self._catalog = catalog
        self._unseen = catalog.unseen
        self._trusted = trusted

    def joined(self, statement: Statement, replaced: frozenset[str] = frozenset()) -> Statement:
        """The statement and all that runs in it; itself when nothing does. `replaced`: functions it may see anew."""
        first = list(self._sets_off(statement, replaced))
        kept = tuple(touch for touch in statement.touches if not self._computes(touch))
        changes = list(self._changed(statement)) if self._unseen.keys else []
        if not first and not changes:
            return statement if len(kept) == len(statement.touches) else replace(statement, touches=kept)
        walk = Walk()
        seen: set[Hook | Statement] = set()
        waiting: list[tuple[Statement, Hook | None]] = [(statement, None)]
        called: dict[Touch, None] = {}
        fired: dict[Touch, None] = {}
        sets: set[str] = set()
        flows: dict[Flow, None] = {}
        while waiting:
            at, by = waiting.pop()
            if by is not None:
                told = self._told(at, quiet=by.quiet)
                walk.absorb(told)
                if by.events == 0:
                    called.update(dict.fromkeys(told.touches))
                    # What triggers and rules move, whoever makes them is asked about; what is called, the caller.
                    flows.update(dict.fromkeys(at.flows))
                elif by.events & _CHANGES:
                    fired.update(dict.fromkeys(told.touches))
                    sets.update(at.assigned)
                    if not by.quiet and at.touches:
                        # Defaults, generated columns and rules say what is stored, or returned, in their own way.
                        sets.add("*")
            for found, label in first if by is None else self._sets_off(at, replaced):
                # What code sets off comes back the way that code does.
                hook = found if by is None else found._replace(events=by.events)
                if hook in seen:
                    continue
                inner = hidden(hook.text) if hook.text and len(seen) < MAX_BODIES else None
                if inner is None:
                    # Not remembered: another that can't be told is to be named too.
                    walk.unknown(label)
                else:
                    seen.add(hook)
                    waiting.append((inner, hook))
            if by is not None:
                changes += self._changed(at)
            if not waiting:
                assigned = frozenset((*statement.assigned, *walk.assigned))
                carried = [each for each in self._carried_on(changes, assigned) if each not in seen]
                seen.update(carried)
                waiting += ((each, _KEY) for each in carried)
        more = walk.gathered(statement.tag)
        return replace(
            statement,
            touches=tuple(dict.fromkeys((*kept, *more.touches))),
            functions=tuple(dict.fromkeys((*statement.functions, *more.functions))),
            attributes=tuple(dict.fromkeys((*statement.attributes, *more.attributes))),
            operators=tuple(dict.fromkeys((*statement.operators, *more.operators))),
            temporary=tuple(dict.fromkeys((*statement.temporary, *more.temporary))),
            effects=(*statement.effects, *more.effects),
            has_where=statement.has_where and more.has_where,
            dynamic=statement.dynamic or more.dynamic,
            ends_transaction=statement.ends_transaction or more.ends_transaction,
            flows=(*statement.flows, *flows),
            within=Within(tuple(called), tuple(fired), frozenset(sets)),
        )

    def _told(self, inner: Statement, *, quiet: bool) -> Statement:
        """What is said of hidden code: names as anybody may mean them, without what nobody needs a permit for."""
        touches: dict[Touch, None] = {}
        for touch in inner.touches:
            calls = touch.kind == "function" and touch.operation is Operation.EXECUTE
            if (quiet and calls and self._schemas(touch.name)) or self._computes(touch):
                continue
            schemas: tuple[str, ...] = ()
            if touch.name.schema is None and not touch.new:
                if calls:
                    schemas = self._schemas(touch.name)
                elif touch.kind in _RELATIONS:
                    relations = self._catalog.relations
                    schemas = tuple(relations[oid][0] for oid in self._catalog.find(None, touch.name.name))
            named = [Name(schema, touch.name.name) for schema in schemas] or [touch.name]
            touches.update(dict.fromkeys(replace(touch, name=name) for name in named))
        return replace(inner, touches=tuple(touches))

    def _schemas(self, name: Name) -> tuple[str, ...]:
        """Where functions of that name are."""
        found = self._catalog.functions.get(name.name, ())
        return tuple(schema for schema, *_ in found if name.schema in (None, schema))

    def _computes(self, touch: Touch) -> bool:
        """A call that can only be of an extension's function that computes, as most built-ins do."""
        if touch.kind != "function" or touch.operation is not Operation.EXECUTE:
            return False
        schemas = self._schemas(touch.name)
        return bool(schemas) and all(
            (schema, touch.name.name) not in self._unseen.functions
            and all(computes(by, touch.name.name) for by in self._unseen.provided.get((schema, touch.name.name), ("",)))
            for schema in schemas
        )

    # ------------------------------------------------------------ what sets code off

    def _sets_off(self, statement: Statement, replaced: frozenset[str]) -> Iterator[tuple[Hook, str]]:
        """Code, and what to call it when it can't be told."""
        catalog, unseen = self._catalog, self._unseen
        for touch in statement.touches:
            if touch.operation is Operation.EXECUTE and touch.kind == "function":
                yield from self._called(touch.name, replaced)
            elif touch.operation is Operation.EXECUTE and touch.kind == "operator":
                yield from self._operated(touch.name)
            elif touch.kind == "relation" and not touch.new:
                yield from self._fired(touch.name, self._events(touch))
            elif touch.kind == "cascade":
                for oid in catalog.find(touch.name.schema, touch.name.name):
                    yield from self._at(catalog.cascade(oid), DELETE)
            if touch.operation in _DEFINES or (touch.operation is Operation.ADMIN and touch.kind == "other"):
                yield from ((hook, "an event trigger") for hook in unseen.event_triggers)
        yield from self._meant(statement, replaced)
        for name in statement.types:
            yield from self._converted(name)

    def _meant(self, statement: Statement, replaced: frozenset[str]) -> Iterator[tuple[Hook, str]]:
        """What built-ins' names, columns and operators may stand for."""
        for name in statement.functions:
            if name.schema is None and name.name in NAMES:
                for schema in self._schemas(name):
                    if (schema, name.name) in self._unseen.functions:
                        yield from self._called(Name(schema, name.name), replaced)
        for attribute in statement.attributes:
            for schema, _, may_be in self._catalog.functions.get(attribute, ()):
                if may_be:
                    yield from self._called(Name(schema, attribute), replaced)
        for operator in statement.operators:
            yield from self._operated(Name(None, operator))

    def _called(self, name: Name, replaced: frozenset[str]) -> Iterator[tuple[Hook, str]]:
        schemas = self._schemas(name)
        if not schemas and name.schema in (None, "pg_catalog") and name.name in NAMES:
            return
        converted = list(self._converted(name))
        yield from converted
        if not schemas and not converted:
            yield Hook(0, "", quiet=False), _label(name.schema, name.name)
        stale = not self._trusted or name.name in replaced
        for schema in schemas:
            label = _label(schema, name.name)
            for text in self._unseen.functions.get((schema, name.name), ()):
                yield Hook(0, text if text is not None and not stale else "", quiet=False), label
            for extension in self._unseen.provided.get((schema, name.name), ()):
                if not computes(extension, name.name):
                    yield Hook(0, "", quiet=False), label

    def _operated(self, name: Name) -> Iterator[tuple[Hook, str]]:
        for schema, hook in self._unseen.operators.get(name.name, ()):
            if name.schema in (None, schema):
                yield hook._replace(events=0), f"operator {name.name}"

    def _converted(self, name: Name) -> Iterator[tuple[Hook, str]]:
        for schema, hook in self._unseen.types.get(name.name, ()):
            if name.schema in (None, schema):
                yield hook._replace(events=0), f"type {name.name}"
        if name.schema != "pg_catalog":
            yield from ((hook._replace(events=0), label) for hook, label in self._fired(name, CONVERT))

    def _events(self, touch: Touch) -> int:
        events = EVENTS.get(touch.operation, 0)
        catalog = self._catalog
        if events == UPDATE and any(
            catalog.relations[oid][2] == "p" for oid in catalog.find(touch.name.schema, touch.name.name)
        ):
            # A row that moves to another partition is deleted here and inserted there.
            events |= INSERT | DELETE
        return events

    def _fired(self, name: Name, events: int) -> Iterator[tuple[Hook, str]]:
        catalog = self._catalog
        for named in catalog.find(name.schema, name.name):
            own = {named, *catalog.behind(named)} if events & (READ | INSERT | UPDATE | DELETE) else {named}
            yield from self._at({*own, *(below for oid in own for below in catalog.descendants(oid))}, events)

    def _at(self, oids: Iterable[int], events: int) -> Iterator[tuple[Hook, str]]:
        for oid in oids:
            for hook in self._unseen.hooks.get(oid, ()):
                if hook.events & events:
                    yield hook._replace(events=hook.events & events), f"{self._catalog.name(oid)}"

    # ------------------------------------------------------------ foreign keys

    def _changed(self, statement: Statement) -> Iterator[tuple[int, Operation]]:
        catalog = self._catalog
        for touch in statement.touches:
            if touch.kind == "relation" and touch.operation in _CHANGING and not touch.new:
                for named in catalog.find(touch.name.schema, touch.name.name):
                    for oid in {named, *catalog.behind(named)}:
                        yield oid, touch.operation
                        yield from ((below, touch.operation) for below in catalog.descendants(oid))

    def _carried_on(self, changes: list[tuple[int, Operation]], assigned: frozenset[str]) -> Iterator[Statement]:
        """What foreign keys do elsewhere."""
        for oid, operation in changes:
            for key in self._unseen.keys.get(oid, ()):
                if operation is Operation.DELETE:
                    follows = key.deleted
                else:
                    follows = key.updated if "*" in assigned or key.columns & assigned else None
                relation = self._catalog.relations.get(key.relation)
                if follows is not None and relation is not None:
                    touch = Touch(follows, Name(relation[0], relation[1]))
                    yield Statement("FOREIGN KEY", (touch,), assigned=tuple(sorted(key.own)))


_CHANGING: Final = frozenset({Operation.UPDATE, Operation.DELETE})


def _label(schema: str | None, function: str) -> str:
    return naming.join(schema, f"{function}()") if schema is not None else f"{function}()"
