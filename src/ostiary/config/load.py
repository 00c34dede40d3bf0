"""Reading the file: its shape, then what its sections say of each other. All problems of one reading at once."""

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ostiary.accounts import ISSUER_NAME, LOCAL_ISSUER
from ostiary.config.document import ConfigError, Document, Place, read
from ostiary.config.settings import ListenerTls, Settings
from ostiary.config.shape import CertificatePair, File, detection
from ostiary.config.stored import declared, merged, policies
from ostiary.config.stored import problems as stored_problems
from ostiary.config.values import API, METRICS, Section
from ostiary.identity.issuer import check_url
from ostiary.masking import KEYED, Classification, MaskingConfig, Transform
from ostiary.resources import Declared, Key, StoredResource

Problem = tuple[Place, str]

_PLAIN: Final = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "missing": "is missing",
    "model_type": "must be a mapping",
    "string_type": "must be text; put it in quotes",
    "too_short": "must not be empty",
    "union_tag_not_found": "its `type` is missing",
}


def load(path: Path, stored: Sequence[StoredResource] = ()) -> Settings:
    """Read and validate. Relative paths in the file are relative to it. Raises ConfigError.

    `stored`: what is declared through the API, merged into the file as if it stood there.
    """
    base = read(path)
    document = merged(base, stored)
    rules = policies(stored)
    file: File | None = None
    problems: list[Problem] = []
    try:
        file = File.model_validate(document.data)
    except ValidationError as error:
        problems = [_problem(document, found) for found in error.errors()]
    problems += _across(document.data)
    problems += _same_issuers(file) if file is not None else ()
    problems += stored_problems(document, file)
    if file is None or problems:
        raise ConfigError(_sentences(document, problems))
    return _settings(path, document, file, rules, declared(base))


def schema() -> dict[str, Any]:
    """JSON Schema of the file, for editors."""
    made = File.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "Ostiary configuration"}


def _settings(
    path: Path, document: Document, file: File, rules: Mapping[str, str], there: Mapping[Key, Declared]
) -> Settings:
    base = path.absolute().parent
    server = file.server
    url = server.url.rstrip("/")
    logins = [issuer.sign_in(base, url) for issuer in file.issuers]
    tls = server.tls
    pair = ListenerTls(base / tls.cert, base / tls.key) if isinstance(tls, CertificatePair) else ListenerTls()
    return Settings(
        path=path.absolute(),
        url=url,
        state=server.state_source(base),
        recordings=base / server.recordings_path(),
        recording_key=base / server.recording_key,
        fsync=server.fsync,
        node=server.node,
        tls=pair if tls is not None else None,
        plaintext_loopback=server.plaintext_loopback,
        token_lifetime=server.token_lifetime,
        login_lifetime=server.login_lifetime,
        listen={str(name): where for name, where in server.listen.items() if name not in (API, METRICS)},
        api=server.listen.get(API),
        metrics=server.listen.get(METRICS),
        log=server.log.made(),
        export=tuple(sink.made(base) for sink in file.export),
        issuers=tuple(
            login.issuer if login is not None and each.people_only else each.made(base)
            for each, login in zip(file.issuers, logins, strict=True)
        ),
        logins=tuple(login for login in logins if login is not None),
        targets=tuple(target.made(base) for target in file.targets),
        credentials={target.name: target.credential.made(base) for target in file.targets},
        policies=base / file.policies,
        stored_policies=rules,
        masking_key=server.masking_key.source(base) if server.masking_key is not None else None,
        approvals={name: approval.made() for name, approval in file.approvals.items()},
        _masking=partial(
            MaskingConfig,
            tuple(Classification(each.target, each.object, each.class_) for each in file.classification),
            {name: rule.made() for name, rule in file.masking.items()},
            {each.name: detection(each.detectors) for each in file.targets if each.detectors is not None},
            detection(file.detectors),
        ),
        declared=there,
        _places={".".join(map(str, place)): document.where(place) for place in document.lines},
    )


# ---------------------------------------------------------------- sentences


def _sentences(document: Document, problems: list[Problem]) -> list[str]:
    """In the order of the file. Of several about one place only the first: the others follow from it."""
    first: dict[tuple[Place, str], str] = {}
    for place, why in problems:
        known = document.known(place)
        name = document.name(known)
        rest = ".".join(str(step) for step in place[len(known) :])
        about = f"{name}: {rest} {why}" if rest and why == _PLAIN["missing"] else f"{name}: {why}"
        first.setdefault((known, rest), f"{document.where(place)}: {about.removeprefix(': ')}")
    return [first[key] for key in sorted(first, key=lambda key: document.lines.get(key[0], 0))]


def _problem(document: Document, found: ErrorDetails) -> Problem:
    place, kind, message = found["loc"], found["type"], found["msg"]
    match kind:
        case "value_error":
            at, why = document.known(place), message.removeprefix("Value error, ")
            # What a section says of one of its settings begins with that one's name.
            setting, colon, rest = why.partition(": ")
            return ((*at, setting), rest) if colon and (*at, setting) in document.lines else (at, why)
        case "extra_forbidden":
            known = sorted(_settings_at(place[:-1]))
            near = difflib.get_close_matches(str(place[-1]), known, 1)
            told = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
            return place, f"no such setting; {told}"
        case "literal_error" | "enum":
            return document.known(place), message.replace("Input should be", "must be")
        case "union_tag_invalid":
            return (*document.known(place), "type"), f"must be {found['ctx']['expected_tags'].replace(', ', ' or ')}"
        case "missing":
            return (*document.known(place), place[-1]), _PLAIN[kind]
        case _:
            return document.known(place), _PLAIN.get(kind, message)


def _settings_at(place: Place) -> set[str]:
    """Names of the settings that may stand at a place; names of entries are passed over."""
    models: list[type[Section]] = [File]
    for step in place:
        inner = [
            model
            for outer in models
            for name, info in outer.model_fields.items()
            if step == (info.alias or name)
            for model in _models(info.annotation)
        ]
        models = inner or [model for model in models if step in _tags(model)] or models
    return {info.alias or name for model in models for name, info in model.model_fields.items()}


def _tags(model: type[Section]) -> tuple[str, ...]:
    """Values of `type` that choose this one of a union."""
    info = model.model_fields.get("type")
    return get_args(info.annotation) if info is not None else ()


def _models(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    elif get_origin(annotation) in (list, dict, Union, types.UnionType) or hasattr(annotation, "__metadata__"):
        for inner in get_args(annotation):
            yield from _models(inner)


# ---------------------------------------------------------------- what sections say of each other


def _across(data: object) -> Iterator[Problem]:
    """On the plain data, so that one section with a wrong shape does not hide the rest."""
    if not isinstance(data, dict):
        return
    targets = list(_entries(data, "targets"))
    names = {each.get("name") for _, each in targets}
    yield from _doubles("targets", targets, "name")
    yield from _doubles("export", list(_entries(data, "export")), "name")
    issuers = list(_entries(data, "issuers"))
    yield from _doubles("issuers", issuers, "name")
    server = data.get("server")
    for index, each in issuers:
        if each.get("type") == "x509" and isinstance(server, dict) and server.get("tls") is None:
            why = "clients show certificates in TLS: write `server.tls: auto` or {cert: PATH, key: PATH}"
            yield ("issuers", index, "type"), why
        if (name := each.get("name")) in (ISSUER_NAME, LOCAL_ISSUER):
            whom = "service accounts" if name == ISSUER_NAME else "local administrator"
            yield ("issuers", index, "name"), f'"{name}" names the {whom} of this gateway: choose another'
        if "login" in each and isinstance(server, dict):
            yield from ((("issuers", index, "login"), why) for why in _without_page(server))
    for index, each in _entries(data, "classification"):
        wanted = each.get("target")
        if isinstance(wanted, str) and wanted not in names:
            yield ("classification", index, "target"), f'no target is called "{wanted}"'
    yield from _keyed(data, targets)


def _without_page(server: Mapping[object, Any]) -> Iterator[str]:
    """Why nobody could sign in at this gateway."""
    try:
        check_url(str(server.get("url", "")), "issuer", loopback=True)
    except ValueError:
        yield "people come back to this gateway: write server.url as https://HOST"
    listen = server.get("listen")
    if isinstance(listen, dict) and API not in listen:
        yield f"the login page is on the API's listener: write server.listen.{API}"


def _same_issuers(file: File) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for index, issuer in enumerate(file.issuers):
        for url in issuer.made(Path()).accepted:
            if url in seen:
                why = f'"{seen[url]}" is the same issuer {url}: one of both will do'
                yield ("issuers", index, "issuer"), why
            seen.setdefault(url, issuer.name)


def _entries(data: Mapping[object, Any], name: str) -> Iterator[tuple[int, Mapping[object, Any]]]:
    found = data.get(name)
    for index, each in enumerate(found if isinstance(found, list) else ()):
        if isinstance(each, dict):
            yield index, each


def _doubles(section: str, entries: list[tuple[int, Mapping[object, Any]]], key: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, each in entries:
        value = each.get(key)
        if isinstance(value, str):
            if value in seen:
                yield (section, index, key), f'another of the {section} has the same {key} "{value}"'
            seen.add(value)


def _keyed(data: Mapping[Any, Any], targets: list[tuple[int, Mapping[object, Any]]]) -> Iterator[Problem]:
    server = data.get("server")
    if isinstance(server, dict) and server.get("masking_key") is not None:
        return
    why = "`{}` needs a key: set server.masking_key to {{env: NAME}} or {{file: PATH}}"
    rules = data.get("masking")
    for name, rule in rules.items() if isinstance(rules, dict) else ():
        if isinstance(rule, dict) and rule.get("transform") in KEYED:
            yield ("masking", name, "transform"), why.format(rule["transform"])
    for place, holder in ((), data), *((("targets", index), each) for index, each in targets):
        found = holder.get("detectors")
        for name, wanted in found.items() if isinstance(found, dict) else ():
            if wanted == Transform.HASH.value:
                yield (*place, "detectors", name), why.format(wanted)
