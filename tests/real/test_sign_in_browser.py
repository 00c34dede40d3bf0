"""Chromium signs in: by password without JavaScript, by a virtual authenticator's passkey; and back to the CLI."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Page, Playwright, sync_playwright

from tests.real.browsing import CHROMIUM, SignInGateway, signing_in

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here"),
    pytest.mark.timeout(120),
]
PASSWORD = "a canary with four words"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[SignInGateway]:
    """Nobody is set up."""
    with signing_in(tmp_path) as found:
        yield found


@contextmanager
def chromium(*, scripts: bool = True) -> Iterator[Page]:
    """A page; it is narrow, and what the browser refuses is told as an error."""

    def opened(playwright: Playwright) -> Page:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(
            ignore_https_errors=True, java_script_enabled=scripts, viewport={"width": 360, "height": 640}
        )
        return context.new_page()

    with sync_playwright() as playwright:
        page = opened(playwright)
        refused: list[str] = []
        page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
        yield page
        assert not [text for text in refused if "Content Security Policy" in text]


class Listener(http.server.BaseHTTPRequestHandler):
    """As the CLI listens for the browser."""

    def do_GET(self) -> None:
        """Keep what came."""
        self.server.came.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"done")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def listening(host: str) -> Iterator[tuple[str, list[str]]]:
    """Redirect URI, and the paths that were asked for."""

    class Server(http.server.HTTPServer):
        address_family = 10 if ":" in host else 2

    with Server((host, 0), Listener) as server:
        came: list[str] = []
        server.came = came  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_address[1]}/callback", came
        server.shutdown()
        thread.join(10)


def set_password(page: Page, gateway: SignInGateway) -> None:
    """With the printed link."""
    page.goto(gateway.link)
    page.fill("input[name=password]", PASSWORD)
    page.fill("input[name=again]", PASSWORD)
    page.click("text=Set the password")
    page.wait_for_url("**/login")
    assert "ostiary:admin" in page.inner_text("main")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_without_javascript(gateway: SignInGateway, host: str) -> None:
    """Set a password, sign out, let the CLI in: the browser ends at the CLI's listener with a code."""
    with chromium(scripts=False) as page, listening(host) as (redirect, came):
        set_password(page, gateway)
        page.click("text=Sign out")
        query = {
            "response_type": "code",
            "client_id": "ostiary-cli",
            "redirect_uri": redirect,
            "state": "s",
            "code_challenge": "x" * 43,
            "code_challenge_method": "S256",
        }
        page.goto(f"{gateway.url}/oauth/authorize?{urlencode(query)}")
        assert "wants to act as you" in page.inner_text("main")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", PASSWORD)
        page.click("button.main")
        assert redirect.rsplit("/", 1)[0] in page.inner_text("main")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.click("button[value=allow]")
        page.wait_for_url(lambda url: url.startswith(redirect), timeout=10_000)
        told = parse_qs(urlsplit(came[0]).query)
        assert (told["state"], told["iss"], len(told["code"][0])) == (["s"], [gateway.url], 43)
    assert gateway.link.rpartition("/")[2] not in gateway.log
    assert PASSWORD not in gateway.log


def test_a_passkey(gateway: SignInGateway) -> None:
    """Register one with the printed link, sign out, sign in with it; one that verifies nobody is refused."""
    with chromium() as page:
        session = page.context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        page.goto(gateway.link)
        page.click("text=Use a passkey instead")
        page.wait_for_url("**/login")
        assert "ostiary:admin" in page.inner_text("main")
        page.click("text=Sign out")
        page.click("text=Sign in with a passkey")
        page.wait_for_selector("text=You are")
        page.click("text=Sign out")
        session.send(
            "WebAuthn.setUserVerified",
            {"authenticatorId": made["authenticatorId"], "isUserVerified": False},
        )
        page.click("text=Sign in with a passkey")
        page.wait_for_selector("form[data-passkey] [role=alert]:visible")
        page.goto(f"{gateway.url}/login")
        assert page.is_visible("text=Sign in with a passkey")
