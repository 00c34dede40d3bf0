"""The eight shapes of signature wrapping of "On Breaking SAML" (2012), with whatever the parts must say to be good."""

from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Final

from lxml import etree

from tests.identity.saml_kit import NS, Element, assertion, response, sign

DS = f"{{{NS['ds']}}}"
Parts = Mapping[str, str]
_USUAL: Final[Parts] = MappingProxyType({})


def _evil(parts: Parts) -> Element:
    """What the attacker wants to be read."""
    return etree.fromstring(assertion(**parts, id="_evil", name_id="eve"))


def _parts(signed: Element) -> tuple[Element, Element]:
    """The signed element without its signature, and the signature."""
    bare = deepcopy(signed)
    signature = bare.find(f"{DS}Signature")
    assert signature is not None
    bare.remove(signature)
    return bare, signature


def xsw1(parts: Parts = _USUAL, around: Parts = _USUAL) -> Element:
    """A forged Response holds the signature, and inside that the signed Response."""
    bare, signature = _parts(sign(response(assertion(**parts), **around)))
    forged = response(_evil(parts), id="_evilr", **around)
    signature.append(bare)
    forged.insert(1, signature)
    return forged


def xsw2(parts: Parts = _USUAL, around: Parts = _USUAL) -> Element:
    """The signed Response lies before the signature, both in a forged Response."""
    bare, signature = _parts(sign(response(assertion(**parts), **around)))
    forged = response(_evil(parts), id="_evilr", **around)
    forged.insert(1, signature)
    forged.insert(1, bare)
    return forged


def xsw3(parts: Parts = _USUAL, around: Parts = _USUAL) -> Element:
    """A forged Assertion before the signed one."""
    return response(_evil(parts), sign(assertion(**parts)), **around)


def xsw4(parts: Parts = _USUAL, around: Parts = _USUAL) -> Element:
    """The signed Assertion inside a forged one."""
    forged = _evil(parts)
    forged.append(sign(assertion(**parts)))
    return response(forged, **around)


def xsw5(parts: Parts = _USUAL, around: Parts = _USUAL) -> Element:
    """The forged Assertion holds the signature; the signed one, bare, follows."""
    bare, signature = _parts(sign(assertion(**parts)))
    forged = _evil(parts)
    forged.insert(1, signature)
    return response(forged, bare, **around)


def xsw6(parts: Parts = _USUAL, around: Parts = _USUAL) -> Element:
    """The forged Assertion holds the signature, which holds the signed one."""
    bare, signature = _parts(sign(assertion(**parts)))
    forged = _evil(parts)
    signature.append(bare)
    forged.insert(1, signature)
    return response(forged, **around)


def xsw7(parts: Parts = _USUAL, around: Parts = _USUAL) -> Element:
    """A forged Assertion, with the same id, in Extensions, whose content no schema looks at."""
    document = response(sign(assertion(**parts)), **around)
    extensions = etree.SubElement(document, f"{{{NS['samlp']}}}Extensions")
    extensions.append(_evil(parts))
    document.insert(1, extensions)
    return document


def xsw8(parts: Parts = _USUAL, around: Parts = _USUAL) -> Element:
    """The signed Assertion in an Object of the signature, which stands in a forged one."""
    bare, signature = _parts(sign(assertion(**parts)))
    forged = _evil(parts)
    etree.SubElement(signature, f"{DS}Object").append(bare)
    forged.insert(1, signature)
    return response(forged, **around)


ATTACKS = (xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8)
