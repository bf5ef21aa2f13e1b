"""The smallest of web servers: answers every request with one text, which its arguments give."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from demo_apps.serving import listening_options, serve

PORT = 5678


def create_application(text: str) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The application that says `text` and a line feed."""
    body = f"{text}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("X-App-Name", "http-echo"),
    ]

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return [body]

    return application


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; `-text`, with one dash, is how the published image spells it."""
    options = listening_options("http-echo", __doc__ or "", port=PORT)
    options.add_argument("-text", "--text", default="hello-world", help="what to answer")
    chosen = options.parse_args(argv)
    return serve(
        create_application(chosen.text), chosen.host, chosen.port, threads=4, server_name="http-echo"
    )


if __name__ == "__main__":
    sys.exit(main())
