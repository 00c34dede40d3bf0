"""Policy files to rules: read within bounds, split, parsed and validated one policy at a time.

Cedar's parser does not say where it failed, so each policy is given to it alone and its first line is the place.
All problems of a directory are found in one go; one problem is enough for none of it to be used.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import accumulate
from pathlib import Path

import cedarpy
from cedarpy import Schema, pst

from ostiary.core import naming
from ostiary.policy.rules import Rule, RuleSet, compile_rules, context_paths, object_names

MAX_FILES = 256
MAX_FILE_BYTES = 1 << 20
MAX_RULES = 4096
_MAX_LABEL = 64
_MAX_REASON = 256

SCHEMA_TEXT = resources.files("ostiary.policy").joinpath("schema.cedarschema").read_text("utf-8")
SCHEMA = Schema.from_str(SCHEMA_TEXT)

#: A policy's brackets and operators: Cedar's parser recurses, and the end of the stack is the end of the process.
MAX_BRACKETS = 48
MAX_OPERATORS = 400

_TOKEN = re.compile(
    r"""
      (?P<space>    (?: \s | //[^\n]* )+ )
    | (?P<string>   " (?: [^"\\] | \\. )*+ "? )
    | (?P<end>      ; )
    | (?P<open>     [(\[{] )
    | (?P<close>    [)\]}] )
    | (?P<operator> \b (?: if | in | is | has | like ) \b | && | \|\| | [=!<>]= | [-+*<>=!&|.] )
    | \w++ | .
    """,
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file can't be used. `line` counts from 1; 0: the file as a whole."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class PolicyError(ValueError):
    """A directory of policies can't be used. Nothing of it is in force."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def load(path: Path, stored: Mapping[str, str] | None = None) -> RuleSet:
    """Read `path`, a directory of *.cedar files or one such file. Raises PolicyError, and only that.

    Args:
        path: where they are.
        stored: further rules: `@id` → text.
    """
    problems: list[Problem] = []
    return _compiled(_texts(path, problems), stored or {}, problems)


def load_texts(files: Mapping[str, str]) -> RuleSet:
    """The same of texts by the names of their files. Raises PolicyError, and only that."""
    problems: list[Problem] = []
    if not files:
        problems.append(Problem("policies", 0, "there are none: nothing would be permitted"))
    return _compiled(((Path(name), text) for name, text in sorted(files.items())), {}, problems)


def _compiled(texts: Iterable[tuple[Path, str]], stored: Mapping[str, str], problems: list[Problem]) -> RuleSet:
    rules: dict[str, Rule] = {}

    def take(file: str, unnamed: str, line: int, chunk: str, only: str | None = None) -> None:
        problem, rule = _rule(file, unnamed, line, chunk)
        if rule is None:
            problems.append(Problem(file, line, problem))
        elif only is not None and rule.annotations.get("id") != only:
            problems.append(Problem(file, line, f'it is stored under its @id: write @id("{only}")'))
        elif rule.name in rules:
            first = rules[rule.name]
            problems.append(Problem(file, line, f'the name "{rule.name}" is taken by {first.file}:{first.line}'))
        else:
            rules[rule.name] = rule
        if len(rules) > MAX_RULES:
            raise PolicyError([Problem(file, line, f"more than {MAX_RULES} policies")])

    for path_of, text in texts:
        for index, (line, chunk) in enumerate(split(text), 1):
            take(str(path_of), f"{path_of.name}:{index}", line, chunk)
    for name, text in stored.items():
        file, chunks = f'policy "{name}"', split(text)
        if len(chunks) == 1:
            take(file, name, *chunks[0], only=name)
        else:
            problems.append(Problem(file, 0, f"one rule is stored under its @id, and here are {len(chunks)}"))
    if problems:
        raise PolicyError(problems)
    return compile_rules(list(rules.values()))


def _texts(path: Path, problems: list[Problem]) -> Iterator[tuple[Path, str]]:
    try:
        files = sorted(p for p in path.glob("*.cedar") if not p.name.startswith(".")) if path.is_dir() else [path]
    except OSError as error:
        files = []
        problems.append(Problem(str(path), 0, f"can't be read: {error.strerror}"))
    if not files and not problems:
        problems.append(Problem(str(path), 0, "no *.cedar file in it: nothing would be permitted"))
    if len(files) > MAX_FILES:
        problems.append(Problem(str(path), 0, f"more than {MAX_FILES} files"))
        return
    for file in files:
        try:
            with file.open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                problems.append(Problem(str(file), 0, f"larger than {MAX_FILE_BYTES} bytes"))
                continue
            yield file, data.decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append(Problem(str(file), data.count(b"\n", 0, error.start) + 1, "not UTF-8 text"))
        except OSError as error:
            problems.append(Problem(str(file), 0, f"can't be read: {error.strerror}"))


def split(text: str) -> list[tuple[int, str]]:
    """One (line, text) a policy. A `;` ends a policy unless it stands in a string or a comment."""
    found: list[tuple[int, str]] = []
    start: int | None = None
    end = 0
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "space":
            continue
        if start is None:
            start = token.start()
        end = token.end()
        if token.lastgroup == "end":
            found.append((text.count("\n", 0, start) + 1, text[start:end]))
            start = None
    if start is not None:
        found.append((text.count("\n", 0, start) + 1, text[start:end]))
    return found


def _rule(file: str, unnamed: str, line: int, chunk: str) -> tuple[str, Rule | None]:
    """A sentence or a rule."""
    if _deep(chunk):
        return f"nested deeper than {MAX_BRACKETS} brackets, or more than {MAX_OPERATORS} operators: split it", None
    try:
        nodes = cedarpy.policies_to_pst(chunk)
    except ValueError as error:
        return f"not a Cedar policy: {error}", None
    if nodes.templates or len(nodes.static_policies) != 1:
        return "a template (?principal, ?resource) permits nothing by itself: write a policy", None
    (node,) = nodes.static_policies.values()
    wrong = next((sentence for sentence in _wrong(node, chunk)), None)
    if wrong is not None:
        return wrong, None
    match node.action:
        case pst.ActionEq(entity=uid):
            actions: frozenset[str] | None = frozenset({uid.id})
        case pst.ActionIn(entities=uids):
            actions = frozenset(uid.id for uid in uids)
        case _:
            actions = None
    name = node.annotations.get("id", unnamed)
    return "", Rule(name, node.effect, file, line, chunk, node, actions, frozenset(context_paths(node)))


def _deep(chunk: str) -> bool:
    kinds = [token.lastgroup for token in _TOKEN.finditer(chunk)]
    depths = accumulate((kind == "open") - (kind == "close") for kind in kinds)
    return max(depths) > MAX_BRACKETS or kinds.count("operator") > MAX_OPERATORS


def _wrong(node: pst.Template, chunk: str) -> Iterator[str]:
    for error in cedarpy.validate_policies(chunk, SCHEMA).errors:
        yield error.error.removeprefix("for policy `policy0`, ")
    for key, limit in (("id", _MAX_LABEL), ("approval", _MAX_LABEL), ("reason", _MAX_REASON)):
        value = node.annotations.get(key, "x")
        if not value.strip() or not value.isprintable() or len(value) > limit or (key != "reason" and '"' in value):
            yield f"@{key} must be 1 to {limit} printable characters"
    if "approval" in node.annotations and node.effect == "permit":
        yield "@approval stands on a forbid: it says who may lift it"
    for name in object_names(node):
        target, slash, rest = name.partition("/")
        try:
            if not target or not slash:
                raise ValueError("an object is written target/name")
            naming.lineage(rest)
        except ValueError as error:
            yield f'Object::"{name}" can never match: {error}'
