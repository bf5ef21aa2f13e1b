"""Who may use the page: those who know its address, and no page of another site.

The page changes configuration and sends requests, so it stands under a path that cannot be guessed. A request
of our own page names our own origin, or none; what changes something carries a header besides, which a form
of another site cannot send.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from minimesh.loopback import is_loopback_name

PAGE_HEADER = "X-Minimesh"
_CHANGING = frozenset({"POST", "PUT", "DELETE", "PATCH"})


def refusal(method: str, host: str, origin: str | None, page_header: str | None) -> str | None:
    """Why a request is refused, or None."""
    if not is_loopback_name(host):
        return "ask for this page as localhost or 127.0.0.1"
    if origin is not None and urlsplit(origin).netloc != host:
        return "requests from other pages are refused"
    if method in _CHANGING and page_header is None:
        return f"requests that change something need the header {PAGE_HEADER}"
    return None


def knows_secret(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())
