"""Resolved statements to the one `core.Shape` of their text."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Final

from ostiary.core import Access, Operation, Shape
from ostiary.protocols.postgres.moves import Moves
from ostiary.protocols.postgres.resolve import Resolver, Stored, summary
from ostiary.sql import CloseCursor, CopyOptions, DeclareCursor, Execute, FetchCursor, SessionEffect, Statement

#: Operations that leave the catalogue different, or may; but for the objects of a session and of the server.
_CHANGES: Final = frozenset({Operation.DEFINE, Operation.GRANT, Operation.ADMIN, Operation.UNKNOWN})
_LEAVE_THE_CATALOGUE: Final = ("role/", "server/", "setting/", "pg_catalog.", "pg_temp.")
#: Statements that run nothing which could change the creation schema, and make nothing in it.
_LEAVES_THE_PLACE: Final = frozenset({"BEGIN", "START", "COMMENT"})
_OWN: Final = frozenset({Operation.EXECUTE, Operation.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Copied:
    """What is known of one COPY TO STDOUT before it runs."""

    #: None: `problem` says why its rows can't be taken apart.
    options: CopyOptions | None
    problem: str
    #: Columns in order, None for a computed one; None altogether when it can't be told which they are.
    columns: Sequence[Stored | None] | None
    #: What `columns` were told by: `Judge.stamp` of then.
    stamp: object


@dataclass(frozen=True, slots=True, eq=False)
class SessionShape(Shape):
    """Of a text whose meaning hangs on more than its names; whoever keeps it judges the text anew before it runs."""

    #: The COPY TO STDOUT in it, in order.
    copies: tuple[Copied, ...] = ()
    #: It makes something whose schema it does not name.
    makes: bool = False
    #: It was judged by the creation schema the session had.
    placed: bool = False
    #: It runs what the names of prepared statements or cursors stand for.
    hangs: bool = False
    #: It ends a transaction, or undoes a part of one.
    ends: bool = False
    #: The one cursor it declares or fetches from, if it does nothing else: while that runs nobody can replace it.
    active: str | None = None
    #: Cursors that are its own, and what it says they are, when it has ended.
    declares: frozenset[str] = frozenset()
    #: Cursors it closes; None is all of them.
    closes: frozenset[str | None] = frozenset()
    #: Channels it listens to: `channel/name`.
    listens: frozenset[str] = frozenset()
    #: What it fetches from may be a cursor that code put there, its columns named as that code pleased.
    renamed: bool = False


def runs_code(shape: Shape) -> bool:
    """It runs code that is not seen here: any cursor may stand for something else afterwards."""
    context = shape.context
    return bool(context.get("barrier")) and (
        bool(context.get("dynamic")) or any(access.operation in _OWN for access in shape.accesses)
    )


def shape_of(
    parts: Sequence[tuple[Statement, Sequence[Statement]]],
    resolver: Resolver,
    certain: Set[str],
    *,
    creation: str | None = None,
    pending: bool,
    deviated: bool,
) -> Shape:
    """What a text does.

    Args:
        parts: its statements, each with those that names in it stand for.
        resolver: what names mean.
        certain: cursors that stand for nothing but what is known of them.
        creation: schema in which unqualified names come to be when the text begins, None when nobody knows.
        pending: definitions changed in this session may yet be undone.
        deviated: so may settings.
    """
    expanded = [each for statement, inner in parts for each in (statement, *inner)]
    accesses: dict[Access, None] = {}
    sources: set[str] | None = set()
    places = _places([statement for statement, _ in parts], resolver, creation)
    within = [place for place, (_, inner) in zip(places, parts, strict=True) for place in (place, *[None] * len(inner))]
    for statement, place in zip(expanded, within, strict=True):
        accesses.update(dict.fromkeys(resolver.accesses(statement, place)))
        found = resolver.sources(statement)
        sources = None if sources is None or found is None else sources | found
    own = any(access.operation in _OWN for access in accesses)
    changes = any(
        access.operation in _CHANGES and not resolver.bare(access.object).startswith(_LEAVE_THE_CATALOGUE)
        for access in accesses
    ) or any(s.tag == "COMMIT PREPARED" or (s.ends_transaction and pending) for s in expanded)
    dynamic = any(s.dynamic for s in expanded)
    leaves = any(s.effects or s.temporary or (s.ends_transaction and deviated) for s in expanded)
    outputs = inputs = None
    alone = len(expanded) == 1 or (
        # What is called for the values that EXECUTE gives may come back in any column.
        len(expanded) == 2 and expanded[0].tag in ("EXECUTE", "FETCH") and not expanded[0].within.called
    )
    if sources is not None and alone:
        outputs, inputs = resolver.flows(expanded[-1])
    more = f"; and {len(parts) - 4} more" if len(parts) > 4 else ""
    shown = zip(parts[:4], places, strict=False)
    summaries = "; ".join(summary(resolver, *part, place) for part, place in shown) + more
    context: dict[str, bool | int | str | tuple[str, ...]] = {
        "has_where": all(s.has_where for s in expanded),
        "dynamic": dynamic,
        "statements": len(parts),
        "functions": tuple(dict.fromkeys(_written(f.schema, f.name) for s in expanded for f in s.functions)),
        "barrier": changes or own or dynamic or leaves,
        "changes": changes,
    }
    told = None if sources is None else tuple(sorted(sources))
    inputs = inputs if len(expanded) == 1 else None
    put = [resolver.stored(statement) for statement in expanded]
    stored = put[-1] if alone else tuple(_together(put))
    checked = [resolver.checks(statement) for statement in expanded]
    checks = None if None in checked else tuple(sorted(set().union(*(names for names in checked if names))))
    # Beside others, what an earlier one may have changed makes the columns another's.
    clear = sources is not None and not changes and not leaves
    copies = tuple(
        _copied(s, resolver, relation=clear or len(parts) == 1, query=clear) for s, _ in parts if s.copy is not None
    )
    makes = any(resolver.makes_in_place(statement) for statement, _ in parts)
    effects = [effect for s, _ in parts for effect in s.effects]
    ends = any(s.ends_transaction for s in expanded)
    listens = frozenset(
        touch.name.name for s in expanded for touch in s.touches if touch.operation is Operation.CONSUME
    )
    behind = [each for _, inner in parts for each in (inner, *[()] * len(inner))]
    flowing = [Moves(resolver).of(*each) for each in zip(expanded, behind, within, strict=True)]
    moves = None if None in flowing else tuple(move for each in flowing for move in each or ())
    if not (copies or makes or effects or ends or listens):
        summaries = summaries or "an empty statement"
        return Shape(tuple(accesses), summaries, context, told, outputs, inputs, stored, checks, moves)
    closes = frozenset(effect.name for effect in effects if isinstance(effect, CloseCursor))
    declares = frozenset(effect.name for effect in effects if isinstance(effect, DeclareCursor))
    fetches = frozenset(effect.name for effect in effects if isinstance(effect, FetchCursor))
    code = len(parts) > 1 and (own or dynamic)
    left, renamed = _cursors(effects, certain)
    sure = frozenset() if code else declares & left
    renamed |= bool(fetches and code)
    if renamed:
        # Code may have put a cursor of its own in the place of one that is known.
        told = outputs = inputs = None
    return SessionShape(
        tuple(accesses),
        summaries,
        context,
        told,
        outputs,
        inputs,
        stored,
        checks,
        moves,
        copies=copies,
        makes=makes,
        placed=makes and creation is not None,
        hangs=any(isinstance(effect, Execute | FetchCursor) for effect in effects),
        ends=ends,
        active=next(iter(declares | fetches), None) if len(parts) == len(effects) == 1 else None,
        declares=sure,
        closes=closes,
        listens=listens,
        renamed=renamed,
    )


def _cursors(effects: Sequence[SessionEffect], certain: Set[str]) -> tuple[Set[str], bool]:
    """Cursors that stand for what is known of them at the end of a text; and whether it fetches from any other."""
    known = set(certain)
    strange = False
    for effect in effects:
        match effect:
            case DeclareCursor(name=name):
                known.add(name)
            case CloseCursor(name=None):
                known.clear()
            case CloseCursor(name=str(name)):
                known.discard(name)
            case FetchCursor(name=name):
                strange |= name not in known
            case _:
                pass
    return known, strange


def _together(put: Sequence[tuple[frozenset[str], ...]]) -> Iterator[frozenset[str]]:
    """One for all columns of all results."""
    every: frozenset[str] = frozenset().union(*(columns for each in put for columns in each))
    if every:
        yield every


def _places(statements: Sequence[Statement], resolver: Resolver, creation: str | None) -> list[str | None]:
    """For each statement the schema in which its unqualified names come to be; None once that may have changed."""
    places: list[str | None] = []
    for statement in statements:
        stays = creation is not None and resolver.stays(statement)
        places.append(creation if stays else None)
        if not stays and statement.tag not in _LEAVES_THE_PLACE:
            creation = None
    return places


def _copied(statement: Statement, resolver: Resolver, *, relation: bool, query: bool) -> Copied:
    copy = statement.copy
    assert copy is not None
    told = query if copy.relation is None else relation
    return Copied(copy.options, copy.problem, resolver.copied(statement) if told else None, resolver.stamp)


def _written(schema: str | None, name: str) -> str:
    return name if schema is None else f"{schema}.{name}"
