"""What a COPY … TO STDOUT statement says of the format it will come in (COPY, Parameters)."""

from dataclasses import dataclass
from typing import Any

import postgast

from ostiary.sql.nodes import string_of, strings_of, unwrap


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """Options with the server's defaults. Delimiter, null, quote and escape as bytes of the wire."""

    csv: bool = False
    header: bool = False
    delimiter: bytes = b"\t"
    null: bytes = b"\\N"
    quote: bytes = b'"'
    escape: bytes = b'"'
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class CopyStatement:
    """A COPY's source: a relation, or (`relation` None) a query."""

    schema: str | None
    relation: str | None
    columns: tuple[str, ...]
    options: CopyOptions


def copy_statement(text: str) -> CopyStatement:
    """The COPY that a text of one statement is. Raises ValueError for anything else."""
    statements = postgast.parse(text).stmts
    node: Any = unwrap(statements[0].stmt) if len(statements) == 1 else None
    if node is None or node.DESCRIPTOR.name != "CopyStmt":
        raise ValueError("COPY can be masked only as the one statement of its text")
    given: dict[str, str] = {}
    for option in node.options:
        element: Any = unwrap(option)
        argument = unwrap(element.arg) if element.HasField("arg") else None
        if argument is None:
            value = "true"
        elif argument.DESCRIPTOR.name == "Boolean":
            value = "true" if argument.boolval else "false"
        else:
            value = string_of(element.arg) or str(getattr(argument, "ival", ""))
        given[element.defname] = value
    relation = node.relation if node.HasField("relation") else None
    return CopyStatement(
        (relation.schemaname or None) if relation is not None else None,
        relation.relname if relation is not None else None,
        tuple(strings_of(node.attlist)),
        _options(given),
    )


def _options(given: dict[str, str]) -> CopyOptions:
    csv = given.get("format", "text") == "csv"
    quote = given.get("quote", '"').encode()
    options = CopyOptions(
        csv=csv,
        header=given.get("header", "false").lower() not in ("false", "off", "0"),
        delimiter=given.get("delimiter", "," if csv else "\t").encode(),
        null=given.get("null", "" if csv else "\\N").encode(),
        quote=quote,
        escape=given.get("escape", quote.decode()).encode(),
        encoding=given.get("encoding", ""),
    )
    if len(options.delimiter) != 1 or len(options.quote) != 1 or len(options.escape) != 1:
        raise ValueError("COPY delimiter, quote and escape must be single bytes")
    return options
