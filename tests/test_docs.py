"""The documentation says what is there: links, files, commands, configuration, exit codes, who may import whom."""

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from ostiary import config
from ostiary.cli import Hooks, build
from ostiary.cli.output import Exit
from ostiary.protocols.postgres.refuse import SQLSTATE

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
#: Things of ours that a sentence may name by path.
_PATH = re.compile(r"(?:src/ostiary|tests|examples)/[\w./-]+")
_OPERATORS = ("|", "#", "&&", ";", ">", "…")


def ids(page: Path) -> str:
    """A page's name in the repository."""
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    """A page of docs/, or a file beside it."""
    return page.read_text("utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    """Its code blocks in any of these languages; "" is none."""
    return [body for language, body in _FENCE.findall(text_of(page)) if language in languages]


def anchors(page: Path) -> set[str]:
    """What its headings are called in a link."""
    prose = _FENCE.sub("", text_of(page))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def application() -> TyperGroup:
    """The command line, wired to nothing."""

    def nothing(*_: object) -> Any:
        raise AssertionError("no command is run here")

    command = get_command(build(Hooks(nothing, nothing, nothing, nothing, nothing, nothing, nothing, "0")))
    assert isinstance(command, TyperGroup)
    return command


def leaves(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    """Every command that is no group."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from leaves(command, (*path, name))
        else:
            assert isinstance(command, TyperCommand)
            yield (*path, name), command


def commands(page: Path) -> Iterator[list[str]]:
    """Words behind `ostiary` wherever a page shows a command, in a block or in a sentence."""
    shown = [line for body in blocks(page, "sh", "", "ini") for line in body.splitlines()]
    shown += _INLINE.findall(_FENCE.sub("", text_of(page)))
    for line in shown:
        found = re.search(r"(?:^|[\s$/=])ostiary (?=[a-z-])(.*)", line.strip())
        if found is None or line.strip().startswith("#"):
            continue
        words = shlex.split(found[1], comments=True)
        ends = [index for index, word in enumerate(words) if word in _OPERATORS]
        yield words[: ends[0]] if ends else words


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is a file of the repository, and its anchor a heading there."""
    for link in _LINK.findall(_FENCE.sub("", text_of(page))):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_that_are_named_exist(page: Path) -> None:
    """A path of the repository in a sentence is there."""
    for text in _INLINE.findall(_FENCE.sub("", text_of(page))):
        if _PATH.fullmatch(text):
            assert (ROOT / text).exists(), text


def test_every_page_is_in_the_index() -> None:
    """docs/index.md links to all pages beside it."""
    linked = set(_LINK.findall(text_of(ROOT / "docs/index.md")))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= linked


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_exist(page: Path) -> None:
    """Every `ostiary …` a page shows is a command with these options, or a group of them."""
    for words in commands(page):
        command: Any = application()
        rest = list(words)
        while rest and isinstance(command, TyperGroup) and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        known |= {"--help"}
        options = {word.split("=")[0] for word in rest if re.fullmatch(r"--?[a-z].*", word)}
        assert options <= known, words
        if isinstance(command, TyperGroup):
            # Behind a group only its own options, or the names of its commands as a sentence lists them.
            named = {name for word in rest if not word.startswith("-") for name in word.split("|")}
            assert named <= set(command.commands), words
        elif not any(parameter.param_type_name == "argument" for parameter in command.params):
            values = sum(not word.startswith("-") for word in rest)
            assert values <= len(options), words


def test_every_command_is_documented() -> None:
    """docs/cli.md names each command and each of its own options."""
    page = text_of(ROOT / "docs/cli.md")
    for path, command in leaves(application()):
        assert re.search(rf"ostiary {' '.join(path)}\b", page), path
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.opts[-1] in page, (path, parameter.opts)


def test_every_exit_code_is_documented() -> None:
    """docs/cli.md has one row for each."""
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", text_of(ROOT / "docs/cli.md"), re.MULTILINE)
    assert rows == [(str(code.value), code.name) for code in Exit]


def test_every_sqlstate_is_documented() -> None:
    """docs/postgres.md has a row for each code that the gateway itself says."""
    page = text_of(ROOT / "docs/postgres.md")
    source = "".join(path.read_text() for path in (ROOT / "src/ostiary/protocols/postgres").glob("*.py"))
    said = set(SQLSTATE.values()) | set(re.findall(r'missing\(\s*"(\w{5})"', source)) | {"57014"}
    assert {code for code in said if f"`{code}`" not in page} == set()


def test_make_targets_exist() -> None:
    """Every `make …` that a page shows is a target."""
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        shown = "\n".join([*blocks(page, "", "sh"), *_INLINE.findall(_FENCE.sub("", text_of(page)))])
        assert set(re.findall(r"^make ([a-z]+)", shown, re.MULTILINE)) <= made, ids(page)


def test_the_layers_are_those_that_are_held() -> None:
    """docs/architecture.md and import-linter tell the same order."""
    (shown,) = blocks(ROOT / "docs/architecture.md", "layers")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    held = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert shown.splitlines() == [re.sub(r"[()]", "", layer) for layer in held]


# ---------------------------------------------------------------- configuration


def keys(schema: Mapping[str, Any]) -> set[str]:
    """Every name of a setting in the configuration's JSON Schema."""
    sections = [schema, *schema["$defs"].values()]
    return {name for section in sections for name in section.get("properties", {})}


def test_every_setting_is_documented() -> None:
    """Each key of the schema has its row, and its place in the example of every key."""
    page = ROOT / "docs/configuration.md"
    example = blocks(page, "yaml")[1]
    prose = _FENCE.sub("", text_of(page))
    for name in keys(config.schema()):
        assert re.search(rf"`(?:\w+\.)?{name}`|^### .*`{name}`", prose, re.MULTILINE), name
        assert re.search(rf"\b{name}:", example), name


ISSUERS = [block for block in blocks(ROOT / "docs/identity.md", "yaml") if block.startswith("issuers:")]


@pytest.mark.parametrize("block", ISSUERS, ids=lambda block: re.findall(r"type: ([\w-]+)", block)[0])
def test_issuers_can_be_pasted(tmp_path: Path, block: str) -> None:
    """Each configuration of docs/identity.md is a valid one; there is one for each type."""
    small = blocks(ROOT / "docs/configuration.md", "yaml")[0]
    file = tmp_path / "ostiary.yaml"
    file.write_text(re.sub(r"(?s)^issuers:.*?(?=^targets:)", block, small, flags=re.MULTILINE))
    assert len(config.load(file).issuers) == 1
    types = re.findall(r"type: ([\w-]+)", "".join(ISSUERS))
    assert sorted(types) == sorted(config.schema()["properties"]["issuers"]["items"]["discriminator"]["mapping"])


def test_defaults_are_those_of_the_code() -> None:
    """A row's default, where it is a plain word, is the model's."""
    rows = re.findall(r"^\| `([\w.]+)` \|[^|]*\| `([^`]*)` \|", text_of(ROOT / "docs/configuration.md"), re.MULTILINE)
    sections = config.schema()["$defs"].values()
    found: dict[str, list[Any]] = {}
    for section in sections:
        for name, told in section.get("properties", {}).items():
            found.setdefault(name, []).append(told.get("default"))
    assert len(rows) > 10
    for name, shown in rows:
        assert any(is_shown(default, shown) for default in found[name.rpartition(".")[2]]), name


def is_shown(default: Any, shown: str) -> bool:
    """Is this how the default is written?"""
    match default:
        case bool():
            return shown == str(default).lower()
        case float():
            unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(shown[-1])
            return float(shown if unit is None else shown[:-1]) * (unit or 1.0) == default
        case _:
            return shown.strip('"') == str(default)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the files that the examples point at."""
    (tmp_path / "policies").mkdir()
    for name in ("gw.crt", "gw.key", "db-ca.pem", "client.crt", "client.key", "orders-admin", "masking.key"):
        path = tmp_path / name
        path.touch(mode=0o600)
        path.write_text("an example of 32 bytes or more, for tests")
    monkeypatch.setenv("ORDERS_PASSWORD", "an example")
    monkeypatch.setenv("ARCHIVE_PASSWORD", "an example")
    return tmp_path


@pytest.mark.parametrize("index", range(len(blocks(ROOT / "docs/configuration.md", "yaml"))))
def test_examples_of_the_configuration_load(home: Path, index: int) -> None:
    """Each YAML block of docs/configuration.md is a configuration."""
    path = home / "ostiary.yaml"
    path.write_text(blocks(ROOT / "docs/configuration.md", "yaml")[index])
    settings = config.load(path)
    assert settings.listen["postgres"][1] > 0
    assert settings.targets[0].name == "orders"


def test_examples_of_other_pages_fit_the_configuration(home: Path) -> None:
    """A fragment on a room's page, laid over the small example, loads."""
    small = blocks(ROOT / "docs/configuration.md", "yaml")[0]
    small = small.replace("server:\n", "server:\n  masking_key: {file: masking.key}\n", 1)
    shown = blocks(ROOT / "docs/masking.md", "yaml") + blocks(ROOT / "docs/approvals.md", "yaml")
    assert shown
    for fragment in shown:
        path = home / "ostiary.yaml"
        # `server:` stands in the small example already; what a page says of it is read as a part of that.
        lines = [line for line in fragment.splitlines() if not line.startswith("server:")]
        path.write_text(small + "\n".join(lines) + "\n")
        config.load(path)


def test_tests_that_are_named_are_there() -> None:
    """A page that says which function tests something names one that exists."""
    named = [found for page in PAGES for found in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text_of(page))]
    assert len(named) > 20
    for path, function in named:
        assert re.search(rf"^(?:async )?def {function}\(", text_of(ROOT / path), re.MULTILINE), (path, function)


def test_the_readme_leads_with_two_commands() -> None:
    """`make demo` and `make test` come first, and the page stays short."""
    page = text_of(ROOT / "README.md")
    first = blocks(ROOT / "README.md", "", "sh")[0].splitlines()
    assert [line.split("  ")[0] for line in first] == ["make demo", "make test"]
    assert page.count("\n") <= 120


def test_no_page_is_a_stub() -> None:
    """Every page of docs/ says something."""
    for page in PAGES:
        assert len(text_of(page).split()) > 40, ids(page)


def test_every_event_of_the_log_is_explained() -> None:
    """What the gateway logs is in the table of docs/operations.md, and the table has nothing else."""
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "src/ostiary").rglob("*.py"))
    logged = set(re.findall(r"\blog\.(?:info|warning|error|exception|log)\((?:level, )?\s*\"([^\"]+)\"", source))
    table = re.search(r"^\| `event` .*?\n\n", text_of(ROOT / "docs/operations.md"), re.MULTILINE | re.DOTALL)
    assert table
    rows = [row.split("|")[1] for row in table[0].splitlines()[2:] if row]
    told = {
        name.removesuffix("…") if name.endswith("…") else f"{name}$" for row in rows for name in _INLINE.findall(row)
    }
    for event in logged:
        assert any(f"{event}$".startswith(name) for name in told), event
    for name in told:
        assert any(f"{event}$".startswith(name) for event in logged), name
