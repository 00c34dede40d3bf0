"""Where the values that a statement writes come from, and where they will be: `core.Move`."""

from collections.abc import Iterator, Sequence

from ostiary.core import Move, naming
from ostiary.protocols.postgres.resolve import TEMPORARY, Resolver, is_temporary
from ostiary.sql import Columns, Statement, trace
from ostiary.sql.flows import Outside, Renamed, Write


class Moves:
    """As one session means names."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._catalog = resolver.catalog
        self._prefix = resolver.prefix

    def of(
        self, statement: Statement, inner: Sequence[Statement] = (), creation: str | None = None
    ) -> list[Move] | None:
        """What it puts where, but for what stays where it is; None when it can't be told.

        Args:
            statement: what runs.
            inner: what names in it stand for.
            creation: the schema in which unqualified names come to be.
        """
        if not statement.flows:
            return []
        read = [self._resolver.sources(each) for each in (statement, *inner)]
        everything = None if None in read else set[str]().union(*(names for names in read if names is not None))
        called = self._resolver.shown(statement.within.called)
        # What code shows that nobody knows, or that looks into the server, may be anything.
        told = self._resolver.shown([touch for touch in statement.touches if touch.kind != "relation"]) is not None
        found: list[Move] = []
        for flow in statement.flows:
            match flow:
                case Renamed():
                    found += (
                        Move(frozenset({self._prefix + old}), (self._prefix + new,))
                        for old in self._paths(flow.old)
                        for new in self._paths(flow.new)
                    )
                case Outside():
                    if everything is None:
                        return None
                    found.append(Move(frozenset(everything), (f"{self._prefix}outside/{flow.what}",)))
                case Write():
                    values = self._values(flow, None if everything is None else frozenset(everything))
                    if values is None or called is None or not told:
                        return None
                    found += self._written(flow, [each.union(called) for each in values], creation)
        return [move for move in found if not move.sources <= {*move.into}]

    def _values(self, write: Write, everything: frozenset[str] | None) -> list[frozenset[str]] | None:
        """What each value depends on; one for all where they can't be told apart. None: that can't be told either."""
        outputs: Sequence[frozenset[str] | None] | None = None
        if write.values is not None:
            outputs, _ = trace(write.values, self._flowing, everything or frozenset())
        found = [everything if depends is None else depends for depends in outputs or (None,)]
        return None if None in found else [depends for depends in found if depends is not None]

    def _written(self, write: Write, values: list[frozenset[str]], creation: str | None) -> Iterator[Move]:
        """Each value and where it is put."""
        catalog = self._catalog
        known = not write.made and not self._resolver.is_own(write.schema, write.relation)
        oids = catalog.find(write.schema, write.relation) if known else ()
        named = tuple(output.name for output in write.values.outputs) if write.made and write.values else ()
        anywhere = self._paths((write.schema or (creation if write.made else None), write.relation))[0]
        for oid in oids or (None,):
            relation, own = anywhere, []
            if oid is not None:
                relation = catalog.name(oid) or anywhere
                own = [catalog.columns[oid, at] for at in catalog.attributes.get(oid, ())]
            columns: Sequence[str | None] = write.columns or named or own
            for place, sources in enumerate(values):
                column = columns[place] if len(columns) >= len(values) else None
                kept = self._kept_in(oid, column) if oid is not None and column is not None else ()
                yield Move(sources, kept or (f"{self._prefix}{relation}.{naming.join(column or '?')}",))

    def _kept_in(self, oid: int, column: str) -> tuple[str, ...]:
        """A column and those it shares its values with; of a view's, nothing else is told."""
        catalog = self._catalog
        for attnum in catalog.attributes.get(oid, ()):
            if catalog.columns[oid, attnum] == column:
                return tuple(self._prefix + name for name in dict.fromkeys(catalog.kin(oid, attnum)))
        return ()

    def _paths(self, parts: tuple[str | None, ...]) -> tuple[str, ...]:
        """What a path may stand for; a first part of None is the schema of an unqualified name."""
        first, *rest = parts
        if first is not None or not rest:
            return (naming.join(TEMPORARY if is_temporary(first or "") else first or "", *filter(None, rest)),)
        schemas = [self._catalog.relations[oid][0] for oid in self._catalog.find(None, rest[0] or "")]
        named = naming.join(*filter(None, rest))
        return tuple(f"{naming.join(schema)}.{named}" for schema in schemas) or (f"{naming.UNRESOLVED}.{named}",)

    def _flowing(self, schema: str | None, relation: str) -> Columns | frozenset[str]:
        """As `Resolver.columns`. Nothing of a class comes from the session's own relations: it may not be put there."""
        if self._resolver.is_own(schema, relation):
            return frozenset()
        return self._resolver.columns(schema, relation)
