"""A browser and the person at it, as a program: `python login_browser.py CA USER PASSWORD ADDRESS [CODE]`.

It follows redirects, signs in where it is asked to, types the device's code, and says yes. What the last page says goes
to standard output.
"""

import re
import ssl
import sys
from html import unescape

import httpx2

_FORM = re.compile(r'<form method="post" action="([^"]*)">(.*?)</form>', re.DOTALL)
_FIELD = re.compile(r"<(?:input|button)\b([^>]*)")
_ATTRIBUTE = re.compile(r'([a-z-]+)="([^"]*)"')
#: Pages with a form, one after the other, are no more than these.
_MOST = 5


def main(ca: str, user: str, password: str, address: str, code: str = "") -> None:
    """Until a page has no form."""
    context = ssl.create_default_context(cafile=ca)
    with httpx2.Client(verify=context, follow_redirects=True, timeout=20, trust_env=False) as client:
        page = client.get(address)
        for _ in range(_MOST):
            found = _FORM.search(page.text)
            if found is None:
                break
            fields: dict[str, str] = {}
            for tag in _FIELD.findall(found[2]):
                said = {name: unescape(value) for name, value in _ATTRIBUTE.findall(tag)}
                if "name" in said and said.get("value") != "deny":
                    fields[said["name"]] = said.get("value", "")
            typed = {"username": user, "password": password, "again": password, "user_code": code}
            fields |= {name: value for name, value in typed.items() if name in fields and value}
            page = client.post(page.url.join(unescape(found[1])), data=fields)
    print(page.status_code, re.sub(r"<[^>]*>|\s+", " ", page.text))


if __name__ == "__main__":
    main(*sys.argv[1:])
