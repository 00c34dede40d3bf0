"""Who asks; targets, issuers, policies, classifications."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from ostiary.api import paging
from ostiary.api.caller import CallerDep, Control
from ostiary.api.conditions import tag
from ostiary.api.idempotency import OnceDep
from ostiary.api.models.declarations import DeclarationOut, IssuerShown, RuleShown, TargetShown
from ostiary.api.models.gateway import MeOut
from ostiary.api.models.inventory import (
    AnswerOut,
    ClassifiedOut,
    IssuerOut,
    PoliciesOut,
    Question,
    RuleOut,
    TargetOut,
    TargetTestOut,
)
from ostiary.api.paging import Cursor, Limit, PageOut
from ostiary.api.problems import Unfit, responses
from ostiary.control.access import Caller
from ostiary.control.gateway import GatewayControl
from ostiary.control.operations import asked_about
from ostiary.resources import Key, ResourceKind

router = APIRouter()
Name = Annotated[str, Path(min_length=1, max_length=200)]


@router.get("/me", tags=["gateway"])
def show_me(caller: CallerDep, control: Control) -> MeOut:
    """Who the caller is, and what it may do on the gateway. Any token that is believed will do."""
    return MeOut.of(control.inventory.me(caller))


@router.get("/targets", tags=["targets"])
def list_targets(caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50) -> PageOut[TargetOut]:
    """Targets that the caller may `view`, by name."""
    found = control.inventory.list_targets(caller, paging.begin(cursor, "targets"), limit)
    return paging.page(found, [TargetOut.of(each) for each in found.items], "targets")


@router.get("/targets/{name}", tags=["targets"], responses=responses(404))
async def show_target(name: Name, caller: CallerDep, control: Control, response: Response) -> TargetShown:
    """One target and its declaration; takes `view` on it."""
    shown = TargetOut.of(control.inventory.show_target(caller, name))
    declaration = await _declaration(caller, control, Key(ResourceKind.TARGET, name))
    body = TargetShown(**shown.model_dump(), declaration=declaration)
    tag(response, None if declaration is None else declaration.revision, body)
    return body


@router.post("/targets/{name}/test", tags=["targets"], responses=responses(404))
async def test_target(name: Name, caller: CallerDep, control: Control, once: OnceDep) -> TargetTestOut:
    """Dial it, encrypt, lend a credential, log in, take it back: how far does it go? Takes `administer` on it."""

    async def run() -> TargetTestOut:
        return TargetTestOut.model_validate(await control.trial.run(caller, name), from_attributes=True)

    return await once(TargetTestOut, run)


@router.get("/issuers", tags=["issuers"])
def list_issuers(caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50) -> PageOut[IssuerOut]:
    """Issuers whose tokens are believed, by name; takes `view` on the gateway."""
    found = control.inventory.list_issuers(caller, paging.begin(cursor, "issuers"), limit)
    return paging.page(found, [IssuerOut.of(each) for each in found.items], "issuers")


@router.get("/issuers/{name}", tags=["issuers"], responses=responses(404))
async def show_issuer(name: Name, caller: CallerDep, control: Control, response: Response) -> IssuerShown:
    """One issuer and its declaration; takes `view` on the gateway."""
    shown = IssuerOut.of(control.inventory.show_issuer(caller, name))
    declaration = await _declaration(caller, control, Key(ResourceKind.ISSUER, name))
    body = IssuerShown(**shown.model_dump(), declaration=declaration)
    tag(response, None if declaration is None else declaration.revision, body)
    return body


@router.get("/policies", tags=["policies"])
def list_policies(caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50) -> PoliciesOut:
    """Rules in force, by name, and their version; takes `view` on the gateway."""
    version, found = control.inventory.list_policies(caller, paging.begin(cursor, "policies"), limit)
    shown = paging.page(found, [RuleOut.of(each) for each in found.items], "policies")
    return PoliciesOut(version=version, items=shown.items, next=shown.next)


@router.get("/policies/{name:path}", tags=["policies"], responses=responses(404))
async def show_policy(name: Name, caller: CallerDep, control: Control, response: Response) -> RuleShown:
    """One rule by its `@id`, and its declaration; takes `view` on the gateway."""
    shown = RuleOut.of(control.inventory.show_policy(caller, name))
    declaration = await _declaration(caller, control, Key(ResourceKind.POLICY, name))
    body = RuleShown(**shown.model_dump(), declaration=declaration)
    tag(response, None if declaration is None else declaration.revision, body)
    return body


@router.post("/policies/explain", tags=["policies"], responses=responses(404))
async def explain(question: Question, caller: CallerDep, control: Control) -> AnswerOut:
    """How the rules in force would decide, and why; takes `view` on the gateway. Changes nothing."""
    uses = control.inventory
    if (question.sql is None) == (question.operation is None):
        raise Unfit(422, "invalid", "give `sql`, or `operation` with `object`", "one of the two")
    try:
        who = asked_about(question.principal, question.groups, question.kind)
        if question.sql is not None:
            found = uses.explain_sql(caller, who, question.target, question.sql, question.rows)
        else:
            assert question.operation is not None
            found = uses.explain_access(
                caller, who, question.target, question.operation, question.object, question.rows
            )
    except ValueError as error:
        raise Unfit(422, "invalid", str(error)) from None
    return AnswerOut.of(found)


@router.get("/classifications", tags=["classifications"])
def list_classifications(
    caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50
) -> PageOut[ClassifiedOut]:
    """Classified objects of targets that the caller may `view`."""
    found = control.inventory.list_classifications(caller, paging.begin(cursor, "classifications"), limit)
    return paging.page(found, [ClassifiedOut.of(each) for each in found.items], "classifications")


async def _declaration(caller: Caller, control: GatewayControl, key: Key) -> DeclarationOut | None:
    found = await control.declarations.find(caller, key)
    return None if found is None else DeclarationOut.of(found)
