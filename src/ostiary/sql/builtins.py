"""Built-in functions by what they do, from `builtins.txt`. What is in no list there is `execute`: policy decides."""

from enum import StrEnum
from importlib.resources import files
from typing import Final


class Category(StrEnum):
    """Headings of `builtins.txt`."""

    #: Computes from its arguments, the catalogue, the clock or the session's own facts.
    COMPUTES = "computes"
    #: The same, volatile as it is; every name was looked at.
    COMPUTES_VOLATILE = "computes, volatile"
    #: Changes a setting whose name is the first argument.
    SETTING = "setting"
    #: Advisory locks.
    LOCK = "lock"
    #: Advances or sets a sequence named by the first argument.
    SEQUENCE = "sequence"
    PUBLISH = "publish"
    #: Runs SQL, or reads a relation, that comes as a value.
    DYNAMIC = "dynamic"
    #: Shows what other sessions run, or the server's statistics and insides: `execute`.
    REVEALS = "reveals"
    #: Called by the server itself: handlers, validators, triggers, binary upgrade: `execute`.
    MACHINERY = "machinery"
    #: Reaches the server's files, processes, settings, large objects, log or replication.
    ADMIN = "admin"


def _read() -> dict[str, Category]:
    found: dict[str, Category] = {}
    category: Category | None = None
    for line in files("ostiary.sql").joinpath("builtins.txt").read_text("ascii").splitlines():
        if line.startswith("["):
            category = Category(line[1:-1])
        elif line and not line.startswith("#"):
            assert category is not None
            found[line] = category
    return found


#: Function name → what it does.
BUILTINS: Final = _read()
#: Those that ordinary permits need not cover.
COMPUTES: Final = frozenset({Category.COMPUTES, Category.COMPUTES_VOLATILE})
#: Meant wherever they are installed: extensions that run SQL, or reach the server, from any schema.
ANYWHERE: Final = frozenset({Category.DYNAMIC, Category.ADMIN})
#: Nodes of a later grammar than PostgreSQL 15's, which reads them as calls. A JsonFuncExpr is one of three.
CONSTRUCTORS_OF: Final = {
    "JsonParseExpr": "json",
    "JsonScalarExpr": "json_scalar",
    "JsonSerializeExpr": "json_serialize",
    "JsonFuncExpr": "json_exists",
    "JsonTable": "json_table",
    "JsonArrayConstructor": "json_array",
    "JsonObjectConstructor": "json_object",
    "JsonArrayAgg": "json_arrayagg",
    "JsonObjectAgg": "json_objectagg",
    "MergeSupportFunc": "merge_action",
}
CONSTRUCTORS: Final = frozenset({*CONSTRUCTORS_OF.values(), "json_value", "json_query"})
#: What a call without a schema may mean of the server's own.
NAMES: Final = CONSTRUCTORS | BUILTINS.keys()
