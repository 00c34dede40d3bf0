"""What runs unseen, from its definition as the server writes it: functions, triggers, rules and expressions.

Bodies in SQL (a string, or BEGIN ATOMIC) and plpgsql are walked; everything else is None: nobody can say.
"""

from typing import Final

from google.protobuf.message import Message

from ostiary.core import Operation
from ostiary.sql import plpgsql
from ostiary.sql.definitions import names_of
from ostiary.sql.memo import Memo
from ostiary.sql.model import Name, Statement, Touch, UnparsableError
from ostiary.sql.nodes import string_of, strings_of, unwrap
from ostiary.sql.parse import guarded, parse
from ostiary.sql.walk import Walk

#: Characters of a definition that are looked at.
MAX_DEFINITION: Final = 65536
_definitions: Final[Memo[Statement | bool]] = Memo()


def hidden(definition: str) -> Statement | None:
    """All that happens when it runs, as one statement; None when that cannot be told. Memoised.

    `definition`: CREATE FUNCTION, CREATE TRIGGER or CREATE RULE, or a statement that is run as it stands.
    """
    known = _definitions.get(definition)
    if known is None:
        try:
            known = _read(definition) or False
        except (UnparsableError, RecursionError):
            known = False
        _definitions.put(definition, known)
    return known if isinstance(known, Statement) else None


def _read(definition: str) -> Statement | None:
    if len(definition) > MAX_DEFINITION:
        return None
    guarded(definition)
    nodes = [unwrap(node) for node in parse(definition)]
    if len(nodes) != 1 or nodes[0] is None:
        return None
    made = nodes[0]
    match made.DESCRIPTOR.name:
        case "CreateFunctionStmt":
            return _function(made)
        case "CreateTrigStmt":
            walk = Walk(frozenset(("new", "old")))
            walk.visit(made.when_clause, frozenset())
            walk.touch(Touch(Operation.EXECUTE, Name.of(strings_of(made.funcname)), "function"))
            return walk.gathered("CREATE TRIGGER")
        case "RuleStmt":
            walk = Walk(frozenset(("new", "old")))
            walk.visit(made.where_clause, frozenset())
            for action in made.actions:
                walk.take_in(action, walk.variables)
            return walk.gathered("CREATE RULE")
        case _:
            return Walk().statement(made)


def _function(made: Message) -> Statement | None:
    options = {option.defname: option.arg for option in map(unwrap, made.options) if option is not None}
    arguments = [argument for argument in map(unwrap, made.parameters) if argument is not None]
    # A function's arguments go by its name too.
    walk = Walk(frozenset({strings_of(made.funcname)[-1], *(argument.name for argument in arguments)} - {""}))
    # Converting to a domain runs its checks; what is left out is computed.
    for argument in arguments:
        walk.visit(argument, frozenset())
    walk.visit(made.return_type, frozenset())
    if made.HasField("sql_body"):
        _atomic(walk, made.sql_body)
        return walk.gathered("CREATE FUNCTION")
    if "as" not in options or "language" not in options:
        return None
    text = names_of(unwrap(options["as"]))
    if len(text) != 1:
        return None
    match string_of(options["language"]):
        case "sql":
            guarded(text[0])
            for node in parse(text[0]):
                walk.take_in(node, walk.variables)
        case "plpgsql":
            plpgsql.function(walk, made, text[0])
        case _:
            return None
    return walk.gathered("CREATE FUNCTION")


def _atomic(walk: Walk, node: Message) -> None:
    inner = unwrap(node)
    if inner is None:
        return
    match inner.DESCRIPTOR.name:
        case "List":
            for item in inner.items:
                _atomic(walk, item)
        case "ReturnStmt":
            walk.visit(inner.returnval, frozenset())
        case _:
            walk.take_in(node, walk.variables)
