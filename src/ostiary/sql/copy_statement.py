"""What a COPY … TO STDOUT statement says of the format it will come in (COPY, Parameters)."""

from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from ostiary.sql.nodes import string_of, strings_of, unwrap

_FORMATS: Final = frozenset({"text", "csv", "binary"})


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """Options with the server's defaults. Delimiter, null, quote and escape as bytes of the wire."""

    csv: bool = False
    binary: bool = False
    header: bool = False
    delimiter: bytes = b"\t"
    null: bytes = b"\\N"
    quote: bytes = b'"'
    escape: bytes = b'"'


@dataclass(frozen=True, slots=True)
class CopyStatement:
    """A COPY TO STDOUT: its source is a relation, or (`relation` None) a query."""

    schema: str | None
    relation: str | None
    columns: tuple[str, ...]
    #: None: `problem` says why its rows can't be taken apart.
    options: CopyOptions | None
    problem: str = ""


def copy_statement(node: Message) -> CopyStatement | None:
    """What a whole statement copies out to the client; None when it does not."""
    if node.DESCRIPTOR.name != "CopyStmt":
        return None
    copy: Any = node
    if copy.is_from or copy.is_program or copy.filename:
        return None
    relation = copy.relation if copy.HasField("relation") else None
    options, problem = _options({option.defname: _value(option) for option in map(unwrap, copy.options) if option})
    return CopyStatement(
        (relation.schemaname or None) if relation is not None else None,
        relation.relname if relation is not None else None,
        tuple(strings_of(copy.attlist)),
        options,
        problem,
    )


def _value(option: Any) -> str:
    argument: Any = unwrap(option.arg) if option.HasField("arg") else None
    if argument is None:
        return "true"
    if argument.DESCRIPTOR.name == "Boolean":
        return "true" if argument.boolval else "false"
    return string_of(option.arg) or str(getattr(argument, "ival", ""))


def _options(given: dict[str, str]) -> tuple[CopyOptions | None, str]:
    csv = given.get("format", "text") == "csv"
    quote = given.get("quote", '"').encode()
    options = CopyOptions(
        csv=csv,
        binary=given.get("format") == "binary",
        header=given.get("header", "false").lower() not in ("false", "off", "0"),
        delimiter=given.get("delimiter", "," if csv else "\t").encode(),
        null=given.get("null", "" if csv else "\\N").encode(),
        quote=quote,
        escape=given.get("escape", quote.decode()).encode(),
    )
    if given.get("format", "text") not in _FORMATS:
        return None, "COPY can be masked in the formats text, csv and binary only"
    if given.get("encoding", "utf8").lower().replace("-", "") not in ("", "utf8", "unicode"):
        return None, "COPY can be masked in ENCODING UTF8 only"
    if any(len(mark) != 1 for mark in (options.delimiter, options.quote, options.escape)):
        return None, "COPY can be masked with a single-byte delimiter, quote and escape only"
    return options, ""
