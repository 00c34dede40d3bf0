"""The rules for what a verified assertion says: SAML core §2, profiles §4.1.4 (bearer), RFC 7522 §3."""

from dataclasses import dataclass
from typing import Final

from ostiary.gate.ports import Refused
from ostiary.identity.claims import is_safe_text
from ostiary.identity.rules import MAX_SUBJECT
from ostiary.identity.saml.document import SAML, SAMLP, Element
from ostiary.identity.saml.issuer import SamlIssuer
from ostiary.identity.saml.refuse import NEW_ASSERTION, refused
from ostiary.identity.saml.times import time_of

_BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
_ENTITY: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
_TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
_NIL: Final = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_KNOWN: Final = frozenset(f"{SAML}{name}" for name in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction"))


@dataclass(frozen=True, slots=True)
class Window:
    """How long an assertion may be used."""

    #: Unix seconds.
    expires_at: float
    #: Its issuer wants it used once.
    one_time: bool


def issuer_of(element: Element) -> str | None:
    """Text of its Issuer, an entity id; None without one."""
    found = element.findall(f"{SAML}Issuer")
    if len(found) != 1 or len(found[0]) or found[0].get("Format", _ENTITY) != _ENTITY:
        return None
    return found[0].text


def check_response(issuer: SamlIssuer, response: Element) -> None:
    """A signed Response agrees with what is in it. Raises Refused."""
    if response.find(f"{SAML}Issuer") is not None and issuer_of(response) != issuer.entity_id:
        raise refused("the response around it is another issuer's")
    code = response.find(f"{SAMLP}Status/{SAMLP}StatusCode")
    if code is None or code.get("Value") != _SUCCESS:
        raise refused("the response around it does not tell of success")
    if response.get("Destination", issuer.recipients[0]) not in issuer.recipients:
        raise refused("the response around it was sent to another recipient")


def check_answer(issuer: SamlIssuer, response: Element, assertion: Element, request_id: str, *, signed: bool) -> None:
    """A Response that a browser brought answers this request (SAML profiles §4.1.4.2). Raises Refused.

    Args:
        issuer: of both.
        response: around the assertion; where it is not signed it can only refuse.
        assertion: verified.
        request_id: what it must answer; the bearer confirmation, which is signed, is compared with it too.
        signed: the response is.
    """
    if response.tag != f"{SAMLP}Response":
        raise refused("it is no Response", "send the Response of the identity provider, not the assertion in it")
    check_response(issuer, response)
    if signed and response.get("Destination") is None:
        raise refused("the response is signed and names no destination")
    if response.get("InResponseTo") != request_id:
        raise _unasked()
    if assertion.find(f"{SAML}AuthnStatement") is None:
        raise refused("it does not say that anybody signed in (AuthnStatement)")
    name = assertion.find(f"{SAML}Subject/{SAML}NameID")
    if name is not None and name.get("Format") == _TRANSIENT:
        raise refused(
            "its subject is a transient name, another one each time",
            "have the identity provider send a persistent NameID or an e-mail address",
        )


def check_window(
    issuer: SamlIssuer, assertion: Element, source: str | None, now: float, request_id: str | None = None
) -> Window:
    """Version, audience, times and bearer confirmation. Raises Refused.

    Args:
        issuer: whose assertion it is.
        assertion: verified.
        source: the client's address, "ip:port"; None where it does not tell who the bearer is.
        now: Unix seconds.
        request_id: the request that the confirmation must answer.
    """
    if assertion.get("Version") != "2.0":
        raise refused("it is not of SAML 2.0")
    issued = _time(assertion, "IssueInstant")
    if issued is None or issued > now + issuer.leeway:
        raise refused("it was issued in the future", "compare the clocks of the identity provider and of this gateway")
    conditions = assertion.findall(f"{SAML}Conditions")
    if len(conditions) != 1:
        raise refused("it does not have one set of conditions")
    if any(child.tag not in _KNOWN for child in conditions[0]):
        raise refused("it has a condition that this gateway does not know")
    _check_audience(issuer, conditions[0])
    _check_begun(issuer, conditions[0], now)
    ends = [
        _time(conditions[0], "NotOnOrAfter"),
        _confirmed(issuer, assertion, source, now, request_id),
        *(_time(each, "SessionNotOnOrAfter") for each in assertion.findall(f"{SAML}AuthnStatement")),
    ]
    expires = min(end for end in ends if end is not None)
    if _expired(issuer, expires, now):
        raise refused("it has expired", NEW_ASSERTION)
    return Window(expires, issuer.one_time or conditions[0].find(f"{SAML}OneTimeUse") is not None)


def subject_of(assertion: Element) -> str:
    """The NameID. Raises Refused."""
    found = assertion.findall(f"{SAML}Subject/{SAML}NameID")
    text = found[0].text if len(found) == 1 and not len(found[0]) else None
    if not is_safe_text(text, MAX_SUBJECT):
        raise refused(f"its subject (NameID) is missing, or is not plain text of at most {MAX_SUBJECT} characters")
    return text


def attributes_of(assertion: Element) -> dict[str, object]:
    """Attribute name → text, or a list of texts when there are several.

    A value that is not text becomes an empty mapping, which fits no group and no binding.
    """
    values: dict[str, list[object]] = {}
    for attribute in assertion.iterfind(f"{SAML}AttributeStatement/{SAML}Attribute"):
        for value in attribute.findall(f"{SAML}AttributeValue"):
            if value.get(_NIL) not in ("true", "1"):
                values.setdefault(attribute.get("Name", ""), []).append({} if len(value) else value.text or "")
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _check_audience(issuer: SamlIssuer, conditions: Element) -> None:
    """Each restriction names one of ours (SAML core §2.5.1.4)."""
    restrictions = conditions.findall(f"{SAML}AudienceRestriction")
    named = [{audience.text for audience in each.findall(f"{SAML}Audience")} for each in restrictions]
    if not named or any(each.isdisjoint(issuer.audiences) for each in named):
        raise refused(
            "it was made for another audience",
            f"ask the identity provider for an assertion with audience {' or '.join(issuer.audiences)}",
        )


def _confirmed(issuer: SamlIssuer, assertion: Element, source: str | None, now: float, request_id: str | None) -> float:
    """End of the bearer confirmation that holds here."""
    why = refused("it is not confirmed for its bearer (SubjectConfirmation)")
    client = None if source is None else source.rpartition(":")[0].strip("[]")
    for confirmation in assertion.findall(f"{SAML}Subject/{SAML}SubjectConfirmation"):
        data = confirmation.findall(f"{SAML}SubjectConfirmationData")
        if confirmation.get("Method") != _BEARER or len(data) != 1:
            continue
        end = _time(data[0], "NotOnOrAfter")
        if data[0].get("Recipient") not in issuer.recipients:
            why = refused(
                "it was sent to another recipient",
                f"ask the identity provider for an assertion with recipient {' or '.join(issuer.recipients)}",
            )
        elif end is None:
            why = refused("its bearer confirmation does not end (NotOnOrAfter)")
        elif request_id is not None and data[0].get("InResponseTo") != request_id:
            why = _unasked()
        elif client is not None and data[0].get("Address", client) != client:
            why = refused(
                "it was issued to a client at another address", "connect from where the assertion was obtained"
            )
        elif _expired(issuer, end, now):
            why = refused("it has expired", NEW_ASSERTION)
        else:
            _check_begun(issuer, data[0], now)
            return end
    raise why


def _unasked() -> Refused:
    return refused("it does not answer the request of this sign-in (InResponseTo)", NEW_ASSERTION)


def _check_begun(issuer: SamlIssuer, element: Element, now: float) -> None:
    begin = _time(element, "NotBefore")
    if begin is not None and begin > now + issuer.leeway:
        raise refused(
            "it is not valid yet (NotBefore)", "compare the clocks of the identity provider and of this gateway"
        )


def _expired(issuer: SamlIssuer, end: float, now: float) -> bool:
    return now >= end + min(issuer.leeway, issuer.session_grace)


def _time(element: Element, name: str) -> float | None:
    try:
        return time_of(element.get(name))
    except ValueError:
        raise refused(f"its {name} is not a time in UTC") from None
