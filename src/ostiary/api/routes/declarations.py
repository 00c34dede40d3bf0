"""Changing what is declared: a resource at a time, or many in one change."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Path, Query, Response

from ostiary.api import paging
from ostiary.api.caller import CallerDep, Control
from ostiary.api.conditions import SeenDep, tag
from ostiary.api.idempotency import OnceDep
from ostiary.api.models.declarations import Application, DeclarationOut, OutcomeOut
from ostiary.api.models.revealing import RevealedOut, Revelation
from ostiary.api.paging import Cursor, Limit, PageOut
from ostiary.api.problems import Unfit, responses
from ostiary.control.access import Caller
from ostiary.control.gateway import GatewayControl
from ostiary.control.plan import PATHS
from ostiary.resources import Key, ResourceKind

router = APIRouter()
APPLY_PATH: Final = "/apply"
MERGE_PATCH: Final = "application/merge-patch+json"
_CHANGES: Final = responses(404, 409, 412, 428)
_EXAMPLES: Final[Mapping[ResourceKind, dict[str, Any]]] = {
    ResourceKind.TARGET: {
        "protocol": "postgres",
        "address": "reports.internal:5432",
        "labels": {"environment": "production"},
        "credential": {"type": "static", "username": "app", "password": {"env": "REPORTS_PASSWORD"}},
    },
    ResourceKind.ISSUER: {"type": "oidc", "issuer": "https://id.example.com", "audience": "ostiary"},
    ResourceKind.POLICY: {"text": '@id("no-drops")\nforbid (principal, action == Action::"define", resource);'},
    ResourceKind.CLASSIFICATION: {"class": "pii.email"},
    ResourceKind.MASKING: {"transform": "partial"},
    ResourceKind.APPROVAL_GROUP: {"members": [{"group": "dba"}], "required": 1, "timeout": "10m"},
}
DryRun = Annotated[bool, Query(description="Only show what would change, and whether it would load.")]


def _add(kind: ResourceKind, path: str, name: object) -> None:
    """The changes of one kind; `path` with its parameter, `name` the parameter's type."""
    word = kind.value.replace("-", "_")
    example = _EXAMPLES[kind]
    options: dict[str, Any] = {"tags": [PATHS[kind]], "responses": _CHANGES}
    document = Annotated[
        dict[str, Any],
        Body(description="The section of the configuration file, without its name.", examples=[example]),
    ]
    patch = Annotated[
        dict[str, Any],
        Body(media_type=MERGE_PATCH, description="RFC 7396: null takes a member away.", examples=[example]),
    ]

    async def put(
        name: str, document: dict[str, Any], caller: CallerDep, control: Control, seen: SeenDep, dry_run: DryRun = False
    ) -> OutcomeOut:
        found = await control.declarations.put(caller, Key(kind, name), document, seen, dry_run=dry_run)
        return OutcomeOut.of(found)

    async def change(
        name: str, patch: dict[str, Any], caller: CallerDep, control: Control, seen: SeenDep, dry_run: DryRun = False
    ) -> OutcomeOut:
        found = await control.declarations.patch(caller, Key(kind, name), patch, seen, dry_run=dry_run)
        return OutcomeOut.of(found)

    async def delete(
        name: str, caller: CallerDep, control: Control, seen: SeenDep, dry_run: DryRun = False
    ) -> OutcomeOut:
        return OutcomeOut.of(await control.declarations.delete(caller, Key(kind, name), seen, dry_run=dry_run))

    what = f"a {kind.value}" if kind is not ResourceKind.ISSUER else "an issuer"
    takes = "takes `administer` on the gateway"
    if kind in (ResourceKind.TARGET, ResourceKind.CLASSIFICATION):
        takes += ", or on the target that is there"
    put.__doc__ = f"Declare {what}, or replace it (with `If-Match`); {takes}."
    change.__doc__ = f"Change {what} in part (RFC 7396); {takes}."
    delete.__doc__ = f"Delete {what} (with `If-Match`); {takes}."
    for function in (put, change, delete):
        function.__annotations__["name"] = name
    put.__annotations__["document"] = document
    change.__annotations__["patch"] = patch
    router.put(path, name=f"put_{word}", **options)(put)
    router.patch(path, name=f"patch_{word}", **options)(change)
    router.delete(path, name=f"delete_{word}", **options)(delete)


Plain = Annotated[str, Path(min_length=1, max_length=300, examples=["reports"])]
Classified = Annotated[str, Path(min_length=1, max_length=300, examples=["reports/public.people.email"])]
_NAMES: Final[Mapping[ResourceKind, tuple[str, object]]] = {
    ResourceKind.POLICY: ("{name:path}", Annotated[str, Path(min_length=1, max_length=300, examples=["no-drops"])]),
    ResourceKind.CLASSIFICATION: ("{name:path}", Classified),
}
for _kind, _path in PATHS.items():
    _form, _name = _NAMES.get(_kind, ("{name}", Plain))
    _add(_kind, f"/{_path}/{_form}", _name)


@router.get("/classifications/{name:path}", tags=["classifications"], responses=responses(404))
async def show_classification(
    name: Classified, caller: CallerDep, control: Control, response: Response
) -> DeclarationOut:
    """One classification, `TARGET/OBJECT`; takes `view` on its target."""
    return await _shown(caller, control, Key(ResourceKind.CLASSIFICATION, name), response)


@router.get("/masking", tags=["masking"])
async def list_masking(
    caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50
) -> PageOut[DeclarationOut]:
    """What becomes of each class of data; takes `view` on the gateway."""
    return await _listed(caller, control, ResourceKind.MASKING, cursor, limit)


@router.get("/masking/{name}", tags=["masking"], responses=responses(404))
async def show_masking(name: Plain, caller: CallerDep, control: Control, response: Response) -> DeclarationOut:
    """One class of data; takes `view` on the gateway."""
    return await _shown(caller, control, Key(ResourceKind.MASKING, name), response)


@router.post("/masking/{name}/reveal", tags=["masking"])
async def reveal(name: Plain, asked: Revelation, caller: CallerDep, control: Control) -> RevealedOut:
    """What tokens of the class stand for; takes `view` on the target and `unmask` on the class. Recorded."""
    try:
        return RevealedOut(values=await control.revealing.reveal(caller, asked.target, name, asked.tokens))
    except ValueError as error:
        raise Unfit(422, "invalid", str(error)) from None


@router.get("/approval-groups", tags=["approval-groups"])
async def list_approval_groups(
    caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50
) -> PageOut[DeclarationOut]:
    """Groups that may be asked for approval; takes `view` on the gateway."""
    return await _listed(caller, control, ResourceKind.APPROVAL_GROUP, cursor, limit)


@router.get("/approval-groups/{name}", tags=["approval-groups"], responses=responses(404))
async def show_approval_group(name: Plain, caller: CallerDep, control: Control, response: Response) -> DeclarationOut:
    """One of them; takes `view` on the gateway."""
    return await _shown(caller, control, Key(ResourceKind.APPROVAL_GROUP, name), response)


@router.post(APPLY_PATH, tags=["apply"], responses=responses(404, 409, 412))
async def apply(wanted: Application, caller: CallerDep, control: Control, once: OnceDep) -> OutcomeOut:
    """Make all of these so, in one change or none; takes `administer` on what each belongs to.

    What is so already is left alone, so that applying twice changes nothing the second time.
    """

    async def work() -> OutcomeOut:
        outcome = await control.declarations.apply(
            caller,
            [(Key(each.kind, each.name), each.document) for each in wanted.resources],
            prune=wanted.prune,
            dry_run=wanted.dry_run,
            revision=wanted.revision,
        )
        return OutcomeOut.of(outcome)

    return await once(OutcomeOut, work)


async def _shown(caller: Caller, control: GatewayControl, key: Key, response: Response) -> DeclarationOut:
    found = await control.declarations.show(caller, key)
    body = DeclarationOut.of(found)
    tag(response, body.revision, body)
    return body


async def _listed(
    caller: Caller, control: GatewayControl, kind: ResourceKind, cursor: str, limit: int
) -> PageOut[DeclarationOut]:
    after = paging.begin(cursor, kind.value)
    found = await control.declarations.list(caller, kind, after, limit)
    return paging.page(found, [DeclarationOut.of(each) for each in found.items], kind.value)
