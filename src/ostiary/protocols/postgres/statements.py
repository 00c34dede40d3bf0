"""SQL text to `core.Action`: the analysis of `ostiary.sql`, with names resolved as the target's server would.

Sits between the relay, which knows messages, and `sql`, which knows grammar. What the analysis can't resolve
stays unresolved (`?.name`) or becomes UNKNOWN; nothing is guessed towards "read".

One `Shape` is kept for equal statements under one catalogue, by all sessions that share the catalogue's snapshot. A
session that sees more than the snapshot (temporary tables, definitions it changed and may yet undo) keeps its own.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ostiary.core import Access, Action, Operation, Parameter, Shape, Target
from ostiary.protocols.postgres.bind import Bound, decode
from ostiary.protocols.postgres.catalog import CATALOG_QUERY, MAX_AGE, REVEALING, Catalog, CatalogCache, Snapshot
from ostiary.protocols.postgres.resolve import Resolver
from ostiary.protocols.postgres.results import INERT
from ostiary.protocols.postgres.rows import DataRows
from ostiary.protocols.postgres.shapes import SessionShape, runs_code, shape_of
from ostiary.sql import (
    Analysis,
    CloseCursor,
    Deallocate,
    DeclareCursor,
    Execute,
    FetchCursor,
    Memo,
    Name,
    Prepare,
    Setting,
    Statement,
    Touch,
    template,
)
from ostiary.sql.builtins import BUILTINS
from ostiary.wire.contract import ProtocolError

MAX_NAMES: Final = 4096
_UTF8: Final = frozenset({"UTF8", "UNICODE"})
_ON: Final = frozenset({"on", "true", "yes", "1"})


class UnknownStatementError(ValueError):
    """EXECUTE of a name that was not prepared through this connection."""


class Judge:
    """What one session's statements do. `analyze` raises ValueError for what can't be parsed."""

    def __init__(self, target: Target, database: str, cache: CatalogCache, analyze: Callable[[str], Analysis]) -> None:
        self._target = target
        self._database = database
        self._cache = cache
        self._analyze = analyze
        found = cache.get(target.name, database)
        #: Definitions changed here since the snapshot was read, or there is none: nothing is told apart by it.
        self._doubt = found is None
        #: This session is to read the catalogue anew, for the others too.
        self._wanted = False
        #: Definitions changed here may yet be undone by the end of a transaction.
        self._pending = False
        self._drops = 0
        self._snapshot = found or Snapshot(Catalog(), b"", 0.0)
        #: Everything a name has ever stood for: a superset, so never weaker.
        self._prepared: dict[str, tuple[Statement, ...]] = {}
        self._cursors: dict[str, tuple[Statement, ...]] = {}
        #: Cursors and portals that stand for what was last said of them, and nothing else: no code that is not seen
        #: here ran since, nor were they closed.
        self._certain: frozenset[str] = frozenset()
        #: Cursors that SQL declared.
        self._declared: set[str] = set()
        self._temporary: frozenset[str] = frozenset()
        #: The schema in which the next statement's unqualified names come to be: None when the server was not asked,
        #: "" when it is not to be told. Whoever asks makes it None again before anything else may run.
        self.creation: str | None = None
        self._settings = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}
        #: The server once reported a setting under which text means something else.
        self._deviated = False
        self._actions: Memo[Action] = Memo()
        self._shapes: Memo[Shape] = Memo()
        #: Of statements whose meaning hangs on names of this session.
        self._by_name: Memo[Action] = Memo()
        #: Code that is not seen here is on its way or ran since everything was answered: what the server says of its
        #: settings may be data.
        self.unseen = False
        #: `channel/name` of every LISTEN that ran.
        self.channels: frozenset[str] = frozenset()
        #: Changes whenever a text judged before may mean something else.
        self.epoch = 0
        self._renew()

    # ------------------------------------------------------------ the catalogue

    @property
    def target(self) -> str:
        """Name of the target."""
        return self._target.name

    @property
    def catalog(self) -> Catalog:
        """The snapshot in use."""
        return self._snapshot.catalog

    @property
    def stale(self) -> bool:
        """The catalogue should be read anew before the next statement is judged."""
        if self._doubt or self._wanted:
            return True
        if self._cache.clock() - self._snapshot.read_at < MAX_AGE:
            return False
        newer = None if self._pending else self._cache.get(self._target.name, self._database)
        if newer is not None:
            self._use(newer)
            return False
        self._cache.claim(self._target.name, self._database)
        self._wanted = True
        return True

    @property
    def catalog_query(self) -> str:
        """The question whose answer `learn` takes; it is asked now."""
        self._drops = self._cache.drops
        return CATALOG_QUERY

    def learn(self, runs: list[bytes]) -> None:
        """Take a new snapshot from the rows `catalog_query` gave. Raises ProtocolError."""
        cells = DataRows(b"".join(runs), 1, 1).column(0)
        if len(cells) != 1:
            raise ProtocolError(f"the target answered with {len(cells)} catalogues")
        try:
            snapshot = Snapshot.read((cells[0] or b"").decode(), self._cache.clock())
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        if snapshot.catalog.settled:
            # Asked inside a transaction block it would show others what may be undone, or is long past.
            snapshot = self._cache.put(self._target.name, self._database, snapshot, self._drops)
            self._pending = False
        self._doubt = self._wanted = False
        self._use(snapshot)

    def doubt(self) -> None:
        """Definitions are being changed through this session."""
        self._doubt = self._pending = True
        self._renew()

    def forget(self) -> None:
        """Definitions were changed through this session."""
        self._cache.drop(self._target.name, self._database)
        self.doubt()

    @property
    def stamp(self) -> object:
        """Changes whenever the origin of any column might."""
        return None if self._doubt else self._snapshot.catalog

    def _use(self, snapshot: Snapshot) -> None:
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
        self._renew()

    def _renew(self) -> None:
        """Something that statements hang on has changed."""
        self.epoch += 1
        shared = not (self._doubt or self._temporary or self._deviated)
        self._actions = self._snapshot.actions if shared else Memo()
        self._shapes = self._snapshot.shapes if shared else Memo()
        self._by_name = Memo()
        self._resolver = Resolver(
            self._target.name, self._snapshot.catalog, trusted=not self._doubt, temporary=self._temporary
        )

    # ------------------------------------------------------------ statements

    def statement(self, text: str) -> Action:
        """The action of a Query's or Parse's text. Raises ValueError with a readable sentence."""
        if self.creation:
            return self._judge(text, template(text))
        action = self._actions.get(text)
        if action is not None:
            return action
        key = template(text)
        if key is not None:
            shape = self._shapes.get(key)
            if shape is not None:
                action = Action(shape, text)
                self._actions.put(text, action)
                return action
        return self._by_name.get(text) or self._judge(text, key)

    def _judge(self, text: str, key: str | None) -> Action:
        self._readable(text)
        analysis = self._analyze(text)
        parts: list[tuple[Statement, list[Statement]]] = []
        named = False
        replaced = _replaced(analysis.statements)
        for raw in analysis.statements:
            statement = self._resolver.joined(raw, replaced)
            self._settable(statement)
            inner, by_name = self._inner(statement)
            named |= by_name
            parts.append((statement, [self._resolver.joined(each, replaced) for each in inner]))
        creation = self.creation or None
        shape = shape_of(
            parts,
            self._resolver,
            self._certain,
            creation=creation,
            pending=self._pending,
            deviated=self._deviated,
        )
        action = Action(shape, text)
        if creation is not None and isinstance(shape, SessionShape) and shape.makes:
            # True of this session and of now only.
            return action
        if named:
            self._by_name.put(text, action)
        elif not self._doubt:
            self._actions.put(text, action)
            if key is not None and analysis.by_template:
                self._shapes.put(key, action.shape)
        return action

    def _readable(self, text: str) -> None:
        """The text means here what it means to the server."""
        encoding = self._settings["client_encoding"]
        if encoding.upper() not in _UTF8 and not text.isascii():
            raise ValueError(f"text beyond ASCII can't be judged while client_encoding is {encoding}; set it to UTF8")
        if self._settings["standard_conforming_strings"] != "on" and "\\" in text:
            raise ValueError("a backslash can't be judged while standard_conforming_strings is off; set it on")

    @staticmethod
    def _settable(statement: Statement) -> None:
        """No setting under which later text would mean something else."""
        for effect in statement.effects:
            if not isinstance(effect, Setting) or effect.value is None:
                continue
            value = effect.value
            if effect.name == "client_encoding" and value.upper().replace("-", "").replace("_", "") not in _UTF8:
                raise ValueError("client_encoding must stay UTF8: text in another can't be judged")
            if effect.name == "standard_conforming_strings" and value.lower() not in _ON:
                raise ValueError("standard_conforming_strings must stay on: text without it can't be judged")

    def _inner(self, statement: Statement) -> tuple[list[Statement], bool]:
        """Statements that names in it stand for, and whether it hangs on such names."""
        found: list[Statement] = []
        named = False
        for effect in statement.effects:
            match effect:
                case Prepare(name=name, inner=inner):
                    self._keep(self._prepared, name, inner)
                    found.append(inner)
                case DeclareCursor(name=name, inner=inner):
                    self._keep(self._cursors, name, inner)
                    self._declared.add(name)
                    found.append(inner)
                case Execute(name=name):
                    if name not in self._prepared:
                        raise UnknownStatementError(f'prepared statement "{name[:64]}" does not exist')
                    found += self._deep(self._prepared[name])
                case FetchCursor(name=name):
                    found += self._deep(self._cursors.get(name, (_UNKNOWN_CURSOR,)))
                case CloseCursor() | Deallocate() | Setting():
                    continue
            named = True
        if statement.temporary:
            self._see(statement.temporary)
            named = True
        return found, named

    def _deep(self, statements: Iterable[Statement]) -> Iterable[Statement]:
        """With those that names in them stand for in turn: the protocol can prepare an EXECUTE."""
        found: dict[Statement, None] = {}
        waiting = list(statements)
        while waiting:
            at = waiting.pop()
            if at in found:
                continue
            found[at] = None
            for effect in at.effects:
                if isinstance(effect, Execute):
                    waiting += self._prepared.get(effect.name, (_UNKNOWN_CURSOR,))
                elif isinstance(effect, FetchCursor):
                    waiting += self._cursors.get(effect.name, (_UNKNOWN_CURSOR,))
        return found

    def _keep(self, kept: dict[str, tuple[Statement, ...]], name: str, inner: Statement) -> None:
        known = kept.get(name, ())
        if inner in known:
            return
        if len(known) >= MAX_NAMES or (not known and len(kept) >= MAX_NAMES):
            raise ValueError(f"more than {MAX_NAMES} prepared statements or cursors in one session")
        kept[name] = (*known, inner)
        self._by_name = Memo()

    def _see(self, names: Iterable[str]) -> None:
        """Temporary relations of this session; never forgotten, so that a name never means less."""
        more = self._temporary.union(names)
        if len(more) > MAX_NAMES:
            raise ValueError(f"more than {MAX_NAMES} temporary tables in one session")
        if more != self._temporary:
            self._temporary = more
            self._renew()

    def remember_parse(self, name: str, text: str) -> None:
        """A protocol-level statement: SQL `EXECUTE` shares its namespace. One too many can't be executed by SQL."""
        if len(self._prepared) < MAX_NAMES or name in self._prepared:
            for inner in self._analyze(text).statements:
                self._keep(self._prepared, name, inner)

    def remember_portal(self, name: str, text: str) -> None:
        """A portal named by Bind: SQL FETCH, MOVE and CLOSE share its namespace. One too many is an unknown cursor."""
        if len(self._cursors) < MAX_NAMES or name in self._cursors:
            for inner in self._analyze(text).statements:
                self._keep(self._cursors, name, inner)

    def copy_problem(self) -> str:
        """Why rows of COPY as text could be cut in the wrong places; "" when they can't."""
        encoding = self._settings["client_encoding"]
        if encoding.upper() not in _UTF8:
            return f"COPY as text can't be masked while client_encoding is {encoding}; set it to UTF8"
        if self.unseen:
            return (
                "COPY as text can't be masked in one pipeline behind code that may change client_encoding; sync first"
            )
        return ""

    def names(self, column: str) -> bool:
        """Is a column of some relation, or one that calls a function, named so?"""
        catalog = self._snapshot.catalog
        return (
            column == "?column?"
            or column in BUILTINS
            or column in catalog.functions
            or column in catalog.columns.values()
        )

    def certain(self, name: str) -> bool:
        """Does a portal of this name stand for what it was bound to?"""
        return name in self._certain

    def runs(self, shape: Shape, portal: str | None = None, *, planned: bool = False) -> None:
        """A statement is on its way to run in the portal of that name; or to be planned, which may call functions."""
        certain = self._certain
        if runs_code(shape):
            self.unseen = True
            # Code can't close what is running.
            certain &= {portal, shape.active if isinstance(shape, SessionShape) else None}
        if isinstance(shape, SessionShape) and not planned:
            if len(self.channels) < MAX_NAMES:
                self.channels |= shape.listens
            certain = (frozenset() if None in shape.closes else certain - shape.closes) | shape.declares
        self._know(certain)

    def bound(self, portal: str) -> None:
        """A portal is bound on the way up. One without a name is nobody's to replace."""
        if portal:
            self._know(self._certain | {portal})

    def lost(self, names: Iterable[str]) -> None:
        """Portals and cursors are closed, or were never made."""
        self._know(self._certain.difference(names))

    def _know(self, certain: frozenset[str]) -> None:
        if certain != self._certain:
            self._certain = certain
            self._by_name = Memo()

    def ambiguous(self, name: str) -> bool:
        """May a statement of this name be another than the last Parse gave it?"""
        return len(self._prepared.get(name, ())) > 1

    def declared(self, name: str) -> bool:
        """May a portal of this name be a cursor that SQL declared?"""
        return name in self._declared

    # ------------------------------------------------------------ what else the relay asks

    def origin(self, table_oid: int, attnum: int) -> tuple[str | None, tuple[str, ...]]:
        """Where a result's column comes from (see results.Origins)."""
        catalog = self._snapshot.catalog
        if self._doubt or catalog.origins(table_oid) is None:
            return None, ()
        found = self._resolver.origin(table_oid, attnum)
        if found:
            return found[0], found[1:]
        name = catalog.name(table_oid)
        if catalog.is_system(table_oid) and name not in REVEALING:
            return f"{self._target.name}/{name}.{attnum}", ()
        return None, ()

    @staticmethod
    def bind(frame: bytes) -> Bound:
        """Decode a Bind message strictly. Raises ProtocolError."""
        return decode(frame)

    @staticmethod
    def with_parameters(action: Action, parameters: tuple[Parameter, ...], types: tuple[int, ...]) -> Action:
        """The action with the values of one Bind."""
        if not parameters:
            return action
        if len(types) == len(parameters):
            typed = zip(parameters, types, strict=True)
            parameters = tuple(Parameter(p.value, p.binary, str(oid), oid in INERT) for p, oid in typed)
        return Action(action.shape, action.text, parameters)

    def function_call(self, oid: int) -> Action:
        """A FunctionCall message: it bypasses SQL, so only the function's oid is known."""
        name = f"{self._target.name}/function/{oid}"
        shape = Shape(
            (Access(Operation.EXECUTE, name), Access(Operation.UNKNOWN, name)),
            f"FunctionCall of oid {oid}",
            {"has_where": True, "dynamic": True, "statements": 1, "functions": (), "barrier": True, "changes": True},
            sources=None,
            # What a function that is not known moves, `unknown` covers.
            moves=(),
        )
        return Action(shape, f"FunctionCall {oid}")

    def parameter_status(self, frame: bytes) -> None:
        """Follow what the server says of its settings."""
        parts = frame[5:].split(b"\0")
        if len(parts) != 3 or not parts[0] or parts[2]:
            raise ProtocolError("the target sent a malformed ParameterStatus")
        name, value, _ = parts
        key = name.decode("ascii", "replace")
        if key in self._settings:
            self._settings[key] = value.decode("ascii", "replace")
            if self._settings["client_encoding"].upper() not in _UTF8 or (
                self._settings["standard_conforming_strings"] != "on"
            ):
                self._deviated = True
            if self._deviated:
                self._renew()


def _replaced(statements: Sequence[Statement]) -> frozenset[str]:
    """Functions that one of them makes or changes: those after it may meet another body than the catalogue's."""
    return frozenset(
        touch.name.name
        for statement in statements
        for touch in statement.touches
        if touch.kind == "function" and touch.operation in _DEFINES
    )


_DEFINES: Final = frozenset({Operation.DEFINE, Operation.ADMIN})

#: A cursor that was not declared through this connection: a function's, or a portal of the protocol.
_UNKNOWN_CURSOR: Final = Statement("FETCH", (Touch(Operation.UNKNOWN, Name(None, "session/cursor"), "other"),))
