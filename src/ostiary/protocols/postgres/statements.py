"""SQL text to `core.Action`: the analysis of `ostiary.sql`, with names resolved as the target's server would.

Sits between the relay, which knows messages, and `sql`, which knows grammar. What the analysis can't resolve
stays unresolved (`?.name`) or becomes UNKNOWN; nothing is guessed towards "read".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ostiary.core import Access, Action, Operation, Parameter, Shape, Target
from ostiary.protocols.postgres.catalog import CATALOG_QUERY, Catalog, CatalogCache
from ostiary.protocols.postgres.results import INERT
from ostiary.protocols.postgres.rows import DataRows
from ostiary.sql import (
    Analysis,
    DeclareCursor,
    Execute,
    FetchCursor,
    Prepare,
    Statement,
    Touch,
)
from ostiary.wire.contract import ProtocolError

MAX_NAMES = 4096
#: Touches that leave the catalogue different, or may.
_CHANGES = {Operation.DEFINE, Operation.GRANT, Operation.ADMIN, Operation.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Bound:
    """A decoded Bind."""

    portal: str
    statement: str
    parameters: tuple[Parameter, ...]
    formats: tuple[int, ...]


class Judge:
    """What one session's statements do. `analyze` raises ValueError for what can't be parsed."""

    def __init__(self, target: Target, database: str, cache: CatalogCache, analyze: Callable[[str], Analysis]) -> None:
        self._target = target
        self._database = database
        self._cache = cache
        found = cache.get(target.name, database)
        self.catalog = found or Catalog()
        #: The snapshot may be wrong: nothing is told apart by it until a new one is read.
        self.stale = found is None
        self._analyze = analyze
        #: Everything a name of a prepared statement or cursor has ever stood for: a superset, so never weaker.
        self._named: dict[str, tuple[Statement, ...]] = {}
        self._settings = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}

    #: The question whose answer `learn` takes.
    catalog_query = CATALOG_QUERY

    @property
    def stamp(self) -> object:
        """Changes whenever the origin of any column might."""
        return None if self.stale else self.catalog

    def catalog_columns(
        self, schema: str | None, relation: str, columns: tuple[str, ...]
    ) -> list[tuple[str, int, int, int]] | None:
        """(name, table oid, attnum, type oid) of a relation's columns; None when it can't be told which they are."""
        return None if self.stale else self.catalog.columns_of(schema, relation, columns)

    def ambiguous(self, name: str) -> bool:
        """May a statement of this name be another than the last Parse gave it?"""
        return len(self._named.get(name, ())) > 1

    def doubt(self) -> None:
        """Definitions are being changed through this session."""
        self.stale = True

    def learn(self, runs: list[bytes]) -> None:
        """Take a new snapshot from the rows `CATALOG_QUERY` gave. Raises ProtocolError."""
        (cell,) = DataRows(b"".join(runs), 1, 1).column(0) or (None,)
        try:
            self.catalog = Catalog.parse((cell or b"").decode())
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        self._cache.put(self._target.name, self._database, self.catalog)
        self.stale = False

    def forget(self) -> None:
        """Definitions were changed through this session."""
        self._cache.drop(self._target.name, self._database)
        self.stale = True

    def statement(self, text: str) -> Action:
        """The action of a Query's or Parse's text. Raises ValueError with a readable sentence."""
        if self._settings["client_encoding"].upper() != "UTF8" and not text.isascii():
            raise ValueError(
                f"text beyond ASCII can't be judged while client_encoding is {self._settings['client_encoding']};"
                " set it to UTF8"
            )
        if self._settings["standard_conforming_strings"] != "on" and "\\" in text:
            raise ValueError("a backslash can't be judged while standard_conforming_strings is off")
        analysis = self._analyze(text)
        accesses: dict[Access, None] = {}
        sources: dict[str, None] | None = None if self.stale else {}
        functions: dict[str, None] = {}
        barrier = dynamic = changes = False
        for statement in analysis.statements:
            for each in self._expand(statement):
                for touch in each.touches:
                    for access in self._resolve(touch):
                        accesses[access] = None
                        if "/?." in access.object:
                            sources = None
                        if touch.kind == "relation" and sources is not None:
                            for name in self.catalog.expand(access.object.partition("/")[2]):
                                sources[f"{self._target.name}/{name}"] = None
                functions.update(dict.fromkeys(_dotted(f.schema, f.name) for f in each.functions))
                dynamic |= each.dynamic
                if any(t.operation in (Operation.EXECUTE, Operation.UNKNOWN) for t in each.touches):
                    # A function of the target's own may read anything.
                    sources = None
            changes |= any(touch.operation in _CHANGES for touch in statement.touches)
            barrier |= changes or statement.session is not None or statement.dynamic
        shape = Shape(
            accesses=tuple(accesses),
            summary="; ".join(s.summary for s in analysis.statements[:4]) or "an empty statement",
            context={
                "has_where": all(s.has_where for s in analysis.statements),
                "dynamic": dynamic,
                "statements": len(analysis.statements),
                "functions": tuple(functions),
                "barrier": barrier,
                "changes": changes,
            },
            sources=None if sources is None else tuple(sources),
        )
        return Action(shape, text)

    def _expand(self, statement: Statement) -> tuple[Statement, ...]:
        """A statement and those its name stands for."""
        match statement.session:
            case Prepare(name=name, inner=inner) | DeclareCursor(name=name, inner=inner):
                self._remember(name, inner)
                return (statement, inner)
            case Execute(name=name) | FetchCursor(name=name):
                known = self._named.get(name)
                if known is None:
                    raise ValueError(f'"{name}" was not prepared or declared through this connection')
                return (statement, *known)
            case _:
                return (statement,)

    def _remember(self, name: str, inner: Statement) -> None:
        known = self._named.get(name, ())
        if len(self._named) >= MAX_NAMES or len(known) >= MAX_NAMES:
            raise ValueError(f"more than {MAX_NAMES} prepared statements and cursors in one session")
        if inner not in known:
            self._named[name] = (*known, inner)

    def remember_parse(self, name: str, text: str) -> None:
        """A protocol-level statement: SQL `EXECUTE` shares its namespace."""
        for inner in self._analyze(text).statements:
            self._remember(name, inner)

    def _resolve(self, touch: Touch) -> tuple[Access, ...]:
        prefix = f"{self._target.name}/"
        name = touch.name
        if touch.kind == "relation":
            names = self.catalog.resolve(name.schema, name.name)
            if touch.operation is Operation.DEFINE and names[0].startswith("?."):
                names = (name.name if name.schema is None else f"{name.schema}.{name.name}",)
            return tuple(Access(touch.operation, prefix + n) for n in names)
        return (Access(touch.operation, prefix + _dotted(name.schema, name.name)),)

    def origin(self, table_oid: int, attnum: int) -> tuple[str | None, tuple[str, ...]]:
        """Where a result's column comes from (see results.Origins)."""
        if self.stale:
            return None, ()
        name = self.catalog.column(table_oid, attnum)
        prefix = f"{self._target.name}/"
        if name is not None:
            return prefix + name, tuple(prefix + o for o in self.catalog.origins(table_oid))
        if self.catalog.is_system(table_oid):
            return f"{prefix}pg_catalog.{table_oid}.{attnum}", ()
        return None, ()

    def bind(self, frame: bytes) -> Bound:
        """Decode a Bind message strictly. Raises ProtocolError."""
        try:
            return _bind(frame)
        except (IndexError, UnicodeDecodeError):
            raise ProtocolError("a Bind message ends too early, or holds a name that is not UTF-8") from None

    @staticmethod
    def with_parameters(action: Action, parameters: tuple[Parameter, ...], types: tuple[int, ...]) -> Action:
        """The action with the values of one Bind."""
        if not parameters:
            return action
        if len(types) == len(parameters):
            parameters = tuple(
                replace(p, type=str(t), inert=t in INERT) for p, t in zip(parameters, types, strict=True)
            )
        return replace(action, parameters=parameters)

    def function_call(self, oid: int) -> Action:
        """A FunctionCall message: it bypasses SQL, so only the function's oid is known."""
        access = Access(Operation.EXECUTE, f"{self._target.name}/function/{oid}")
        unknown = Access(Operation.UNKNOWN, f"{self._target.name}/function/{oid}")
        shape = Shape(
            (access, unknown),
            f"FunctionCall of oid {oid}",
            {"has_where": True, "dynamic": True, "statements": 1, "functions": (), "barrier": True},
            sources=None,
        )
        return Action(shape, f"FunctionCall {oid}")

    def parameter_status(self, frame: bytes) -> None:
        """Follow what the server says of its settings."""
        name, value = frame[5:-1].split(b"\0", 1)
        key = name.decode("ascii", "replace")
        if key in self._settings:
            self._settings[key] = value.decode("ascii", "replace")


def _dotted(schema: str | None, name: str) -> str:
    return name if schema is None else f"{schema}.{name}"


def _bind(frame: bytes) -> Bound:
    end = frame.index(b"\0", 5) if b"\0" in frame[5:] else -1
    after = frame.find(b"\0", end + 1)
    if end < 0 or after < 0:
        raise ProtocolError("a Bind message has no names")
    portal, statement = frame[5:end].decode(), frame[end + 1 : after].decode()
    at = after + 1
    formats, at = _shorts(frame, at)
    count = _short(frame, at)
    at += 2
    if len(formats) not in (0, 1, count):
        raise ProtocolError("a Bind message has formats that do not fit its parameters")
    parameters = []
    for index in range(count):
        size = int.from_bytes(frame[at : at + 4], "big", signed=True)
        if at + 4 > len(frame) or size < -1 or at + 4 + max(size, 0) > len(frame):
            raise ProtocolError("a Bind message ends inside a parameter")
        at += 4
        value = None if size == -1 else frame[at : at + size]
        at += max(size, 0)
        binary = bool(formats) and (formats[0] if len(formats) == 1 else formats[index]) == 1
        parameters.append(Parameter(value, binary))
    results, at = _shorts(frame, at)
    if at != len(frame):
        raise ProtocolError("a Bind message has bytes after its end")
    return Bound(portal, statement, tuple(parameters), results)


def _short(frame: bytes, at: int) -> int:
    if at + 2 > len(frame):
        raise ProtocolError("a Bind message ends inside a count")
    return int.from_bytes(frame[at : at + 2], "big")


def _shorts(frame: bytes, at: int) -> tuple[tuple[int, ...], int]:
    count = _short(frame, at)
    end = at + 2 + 2 * count
    return tuple(_short(frame, at + 2 + 2 * i) for i in range(count)), end
