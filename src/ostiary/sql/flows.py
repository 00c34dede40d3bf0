"""Where a statement puts values that stay: in relations, under other names, or out of sight of any class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from google.protobuf.message import Message

from ostiary.sql.lineage import Cte, Derived, Expression, Output, Query, Source
from ostiary.sql.nodes import strings_of, unwrap
from ostiary.sql.returns import Bones, table_of


@dataclass(frozen=True, slots=True)
class Write:
    """Values that are put in a relation's columns."""

    schema: str | None
    relation: str
    #: None: in the relation's order, or by the names that the values have where the relation is `made`.
    columns: tuple[str, ...] | None
    #: None: what they are can't be told.
    values: Query | None
    #: The relation comes to be by it.
    made: bool = False


@dataclass(frozen=True, slots=True)
class Renamed:
    """From now on an object, and what is in it, goes by another name; None is the schema of unqualified names."""

    old: tuple[str | None, ...]
    new: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Outside:
    """What the statement reads may be put where no class is: a channel, a file, a sequence."""

    what: str


#: A name that no query gives.
_VALUES: Final = "?"
Flow: TypeAlias = Write | Renamed | Outside


def written(node: Message, withs: Sequence[Message]) -> Iterable[Write]:
    """What an INSERT, UPDATE or MERGE puts in its relation. `withs`: what has a WITH clause around it, outermost first.

    The plain values of a client's own (constants, parameters) depend on no column, so nothing is said of a change
    without column references.
    """
    bones = Bones({})
    ctes = tuple(cte for around in (*withs, node) for cte in bones.ctes(around))
    target = replace(table_of(node.relation), changed=True)
    match node.DESCRIPTOR.name:
        case "UpdateStmt":
            sources: tuple[Source, ...] = (target, *bones.sources(node.from_clause))
        case "MergeStmt":
            sources = (*bones.sources([node.source_relation]), target)
        case _:
            sources = (target, replace(target, alias="excluded", columns=()))
    for store in bones.stores(node):
        # What stands beside the values is to their left, where they see it; the star is of them alone.
        values = Query(ctes, (*sources, Derived(store.values, _VALUES)), (Output(None, Expression(), (_VALUES,)),))
        yield Write(node.relation.schemaname or None, node.relation.relname, store.columns, values)


def made_of(relation: Message, query: Message, withs: Sequence[Message], names: Iterable[Message]) -> Write:
    """What CREATE TABLE AS or SELECT INTO puts in the relation that it makes."""
    bones = Bones({})
    inner = unwrap(query)
    values = None
    if inner is not None and inner.DESCRIPTOR.name == "SelectStmt":
        values = _within(bones.select(inner), tuple(cte for around in withs for cte in bones.ctes(around)))
    schema = "pg_temp" if relation.relpersistence == "t" else relation.schemaname or None
    return Write(schema, relation.relname, tuple(strings_of(names)) or None, values, made=True)


def converted(relation: Message, column: str, expression: Message) -> Write:
    """What ALTER COLUMN … TYPE … USING puts in the column."""
    bones = Bones({})
    values = Query((), (table_of(relation),), (Output(column, bones.expression(expression)),))
    return Write(relation.schemaname or None, relation.relname, (column,), values)


def _within(query: Query, ctes: tuple[Cte, ...]) -> Query:
    return replace(query, ctes=(*ctes, *query.ctes)) if ctes else query
