"""How many stars reviewers gave: `/ratings/ID`, which can be asked and told."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from flask import Flask, request
from flask.typing import ResponseReturnValue

from demo_apps.bookinfo.calls import PORT
from demo_apps.serving import listening_options, serve

_STARS = {"Reviewer1": 5, "Reviewer2": 4}


def create_application() -> Flask:
    """Ratings kept in memory, for as long as this process runs."""
    application = Flask("ratings")
    given: dict[int, Any] = {}

    @application.get("/health")
    def health() -> ResponseReturnValue:
        return {"status": "Ratings is healthy"}

    @application.get("/ratings/<product>")
    def ratings(product: str) -> ResponseReturnValue:
        if not product.isdecimal():
            return {"error": "please provide numeric product ID"}, 400
        return {"id": int(product), "ratings": given.get(int(product), _STARS)}

    @application.post("/ratings/<product>")
    def rate(product: str) -> ResponseReturnValue:
        if not product.isdecimal():
            return {"error": "please provide numeric product ID"}, 400
        document = request.get_json(force=True, silent=True)
        if document is None:
            return {"error": "please provide valid ratings JSON"}, 400
        given[int(product)] = document
        return {"id": int(product), "ratings": document}

    return application


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to end."""
    chosen = listening_options("ratings", __doc__ or "", port=PORT).parse_args(argv)
    return serve(create_application(), chosen.host, chosen.port, threads=4, server_name="node")


if __name__ == "__main__":
    sys.exit(main())
