"""What is printed on the back of a book: `/details/ID`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flask import Flask
from flask.typing import ResponseReturnValue

from demo_apps.bookinfo.calls import PORT
from demo_apps.serving import listening_options, serve

_BOOK = {
    "author": "William Shakespeare",
    "year": 1595,
    "type": "paperback",
    "pages": 200,
    "publisher": "PublisherA",
    "language": "English",
    "ISBN-10": "1234567890",
    "ISBN-13": "123-1234567890",
}


def create_application() -> Flask:
    """One book under every number."""
    application = Flask("details")

    @application.get("/health")
    def health() -> ResponseReturnValue:
        return {"status": "Details is healthy"}

    @application.get("/details/<product>")
    def details(product: str) -> ResponseReturnValue:
        if not product.isdecimal():
            return {"error": "please provide numeric product id"}, 400
        return {"id": int(product), **_BOOK}

    return application


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to end."""
    chosen = listening_options("details", __doc__ or "", port=PORT).parse_args(argv)
    return serve(create_application(), chosen.host, chosen.port, threads=4, server_name="WEBrick")


if __name__ == "__main__":
    sys.exit(main())
