"""From a password to an XML tree that can be read in one way only.

Bounded before it is parsed, and nothing but elements, attributes and text: every DTD (entities, external files),
comment (text that two readers join differently) and CDATA section begins with `<!`, so one rule refuses them in the raw
text, which is UTF-8 whatever its declaration says. Processing instructions are refused too.
"""

import re
import zlib
from base64 import b64decode
from typing import Final

from lxml import etree

from ostiary.identity.saml.refuse import refused

Element = etree._Element

MAX_XML_BYTES: Final = 64 * 1024
#: Real assertions have under a hundred elements; a group makes one more.
MAX_TAGS: Final = 4096
MAX_DEPTH: Final = 24

SAML: Final = "{urn:oasis:names:tc:SAML:2.0:assertion}"
SAMLP: Final = "{urn:oasis:names:tc:SAML:2.0:protocol}"
DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"

_DECLARATION: Final = re.compile(r"\s*<\?xml[ \t\r\n][^<>?]*\?>")
_TAG: Final = re.compile(r"""<(/?)(?:[^<>"'/]++|/(?!>)|"[^"<]*+"|'[^'<]*+')*+(/?)>""")


def decode(password: bytes) -> str:
    """The XML text of a password in base64 or base64url, plain or in raw DEFLATE (SAML bindings §3.4.4.1).

    Raises Refused.
    """
    if len(password) > MAX_XML_BYTES:
        raise refused(f"it is longer than {MAX_XML_BYTES // 1024} KiB")
    text = password.translate(bytes.maketrans(b"-_", b"+/"), b"\r\n").rstrip(b"=")
    try:
        data = b64decode(text + b"=" * (-len(text) % 4), validate=True)
        if not data.lstrip().startswith(b"<"):
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            data = inflate.decompress(data, MAX_XML_BYTES + 1)
            if len(data) <= MAX_XML_BYTES and (not inflate.eof or inflate.unused_data):
                raise ValueError("not all of it is one stream")
    except (ValueError, zlib.error):
        raise refused("it is neither a JWT nor a SAML assertion in base64") from None
    if len(data) > MAX_XML_BYTES:
        raise refused(f"it is longer than {MAX_XML_BYTES // 1024} KiB")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise refused("its XML is not UTF-8") from None


def parse(text: str) -> Element:
    """The root element. Raises Refused."""
    declaration = _DECLARATION.match(text)
    if declaration is not None:
        text = text[declaration.end() :]
    if "<!--" in text:
        raise refused("it holds a comment, which readers of XML do not treat alike")
    if "<!" in text or "<?" in text:
        raise refused("it holds a DTD, a CDATA section or a processing instruction, which no assertion needs")
    _check_shape(text)
    try:
        return etree.fromstring(text.encode(), safe_parser())
    except (etree.XMLSyntaxError, ValueError):
        raise refused("it is not well-formed XML") from None


def safe_parser() -> etree.XMLParser:
    """One that expands nothing, loads nothing and keeps libxml2's own limits."""
    return etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, collect_ids=False
    )


def _check_shape(text: str) -> None:
    if text.count("<") > MAX_TAGS:
        raise refused(f"it has more than {MAX_TAGS} tags")
    depth = 0
    for closing, alone in _TAG.findall(text):
        depth += -1 if closing else 0 if alone else 1
        if depth > MAX_DEPTH:
            raise refused(f"its elements are nested more than {MAX_DEPTH} deep")
