"""Which columns of a result are a relation's column as it stands, where that is plain to see.

A reference to a column, or a star, over relations of the query's own FROM. What comes through a subquery, a CTE, a set
operation or a merged join is not told: it counts as computed, and `lineage` says from what.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ostiary.sql.lineage import Join, Output, Query, Source, Table

#: Names of a relation's columns in order; None unless exactly one relation can be meant.
NamesOf: TypeAlias = Callable[[str | None, str], Sequence[str] | None]
#: A relation as the query names it, and the place of the column among its columns.
Place: TypeAlias = tuple[str | None, str, int]


def direct(query: Query, names_of: NamesOf) -> list[Place | None] | None:
    """For each column of the result where it is, None for a computed one; None when their number is not known."""
    if query.sides is not None or query.rows:
        return None
    hidden = {cte.name for cte in query.ctes}
    items = [item for source in query.sources for item in _items(source, hidden, names_of)]
    found: list[Place | None] = []
    for output in query.outputs:
        if output.star is None:
            found.append(_place(output, items))
            continue
        for item in _meant(output.star, items):
            if item.table is None:
                return None
            found += ((item.table.schema, item.table.relation, index) for index in range(len(item.names)))
    return found


@dataclass(frozen=True, slots=True)
class _Item:
    """What columns can be found under. `alias` None: under any name. `table` None: nobody follows what they are."""

    alias: str | None
    table: Table | None = None
    names: Sequence[str] = ()
    #: Found by an unqualified name too.
    visible: bool = True


def _items(source: Source, hidden: set[str], names_of: NamesOf) -> list[_Item]:
    match source:
        case Table():
            shadowed = source.schema is None and source.relation in hidden and not source.changed
            names = None if shadowed else names_of(source.schema, source.relation)
            if names is None or len(source.columns) > len(names):
                return [_Item(source.alias, visible=source.visible)]
            renamed = [*source.columns, *names[len(source.columns) :]]
            return [_Item(source.alias, source, renamed, source.visible)]
        case Join() if not source.alias:
            parts = [item for side in (source.left, source.right) for item in _items(side, hidden, names_of)]
            if source.using == ():
                return parts
            # Merged columns have no qualifier.
            return [*(replace(part, visible=False) for part in parts), _Item("")]
        case _:
            return [_Item(source.alias or None)]


def _meant(qualifier: tuple[str, ...], items: list[_Item]) -> list[_Item]:
    """Items that a name with this qualifier may be of; one that nobody follows when that is not clear."""
    if not qualifier:
        return [item for item in items if item.visible]
    found = [item for item in items if item.alias in (None, qualifier[-1])]
    unclear = len(qualifier) > 2 or any(
        len(qualifier) == 2 and (item.table is None or item.table.schema != qualifier[0]) for item in found
    )
    return [_Item(None)] if unclear or not found else found


def _place(output: Output, items: list[_Item]) -> Place | None:
    if not output.bare:
        return None
    *qualifier, name = output.expression.references[0]
    places: list[Place] = []
    for item in _meant(tuple(qualifier), items):
        if item.table is None:
            return None
        at = (index for index, known in enumerate(item.names) if known == name)
        places += ((item.table.schema, item.table.relation, index) for index in at)
    return places[0] if len(places) == 1 else None
