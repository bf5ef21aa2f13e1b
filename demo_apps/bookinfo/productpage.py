"""The page of one book, from what details and reviews say, and a small JSON interface to the same.

Who is signed in is in the session's cookie; the name goes on with every call as the header `end-user`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from flask import Flask, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from demo_apps.bookinfo.calls import PORT, TRACING_HEADERS, chosen_headers, get_json, service_url
from demo_apps.serving import listening_options, serve

_TIMEOUT_S = 3.0
# Reviews are asked for twice: together six seconds, less than reviews v2 may wait for ratings.
_ATTEMPTS = {"details": 1, "reviews": 2, "ratings": 1}
_FORWARDED = (*TRACING_HEADERS, "user-agent", "cookie", "authorization", "jwt")
PRODUCTS = (
    {
        "id": 0,
        "title": "The Comedy of Errors",
        "descriptionHtml": "One of <b>William Shakespeare's</b> first plays, and his shortest: twins who are "
        "taken for each other, and jokes about it.",
    },
)
# One key for all replicas, so that any of them knows who signed in at another.
_SESSION_KEY = "bookinfo keeps no secrets"


def create_application() -> Flask:
    """The pages for people and the interface for programs."""
    application = Flask(__name__)
    application.secret_key = os.environ.get("SESSION_KEY", _SESSION_KEY)
    _add_pages(application)
    _add_interface(application)
    return application


def _add_pages(application: Flask) -> None:
    @application.get("/")
    @application.get("/index.html")
    def index() -> ResponseReturnValue:
        return render_template("index.html", services=[(name, service_url(name)) for name in _ATTEMPTS])

    @application.get("/health")
    def health() -> ResponseReturnValue:
        return "Product page is healthy"

    @application.post("/login")
    def login() -> ResponseReturnValue:
        session["user"] = request.form.get("username", "")
        return redirect(url_for("front"))

    @application.get("/logout")
    def logout() -> ResponseReturnValue:
        session.pop("user", None)
        return redirect(url_for("front"))

    @application.get("/productpage")
    def front() -> ResponseReturnValue:
        details_status, details = _ask("details", 0)
        reviews_status, reviews = _ask("reviews", 0)
        return render_template(
            "productpage.html",
            product=PRODUCTS[0],
            details_status=details_status,
            details=details,
            reviews_status=reviews_status,
            reviews=reviews,
            user=session.get("user", ""),
        )


def _add_interface(application: Flask) -> None:
    @application.get("/api/v1/products")
    def products() -> ResponseReturnValue:
        return list(PRODUCTS)

    @application.get("/api/v1/products/<int:product>")
    def details(product: int) -> ResponseReturnValue:
        status, document = _ask("details", product)
        return document, status

    @application.get("/api/v1/products/<int:product>/reviews")
    def reviews(product: int) -> ResponseReturnValue:
        status, document = _ask("reviews", product)
        return document, status

    @application.get("/api/v1/products/<int:product>/ratings")
    def ratings(product: int) -> ResponseReturnValue:
        status, document = _ask("ratings", product)
        return document, status


def _ask(service: str, product: int) -> tuple[int, Any]:
    """What a service says of a product; its own status, or 500 when it says nothing, and an apology."""
    url = f"{service_url(service)}/{service}/{product}"
    headers = chosen_headers(request.headers, _FORWARDED)
    if session.get("user"):
        headers["end-user"] = session["user"]
    status = None
    for _ in range(_ATTEMPTS[service]):
        answer = get_json(url, headers, _TIMEOUT_S)
        if answer.status == 200:
            return 200, answer.document
        status = answer.status
    return status or 500, {"error": f"Sorry, product {service} are currently unavailable for this book."}


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; a request that waits for another service holds one of sixteen threads."""
    chosen = listening_options("productpage", __doc__ or "", port=PORT).parse_args(argv)
    return serve(create_application(), chosen.host, chosen.port, threads=16, server_name="gunicorn")


if __name__ == "__main__":
    sys.exit(main())
