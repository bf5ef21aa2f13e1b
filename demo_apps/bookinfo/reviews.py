"""What reviewers wrote: `/reviews/ID`. Version 1 shows no stars, version 2 black ones, version 3 red ones."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask, request
from flask.typing import ResponseReturnValue

from demo_apps.bookinfo.calls import PORT, TRACING_HEADERS, chosen_headers, get_json, service_url
from demo_apps.serving import listening_options, serve

#: The colour of each version's stars; version 1 shows none.
COLOURS = {"v1": None, "v2": "black", "v3": "red"}
# Version 2 waits longer for ratings than the product page does for reviews: the mistake that the lab on
# injected delays finds, and that version 3 has mended.
_RATINGS_TIMEOUT_S = {"black": 10.0, "red": 2.5}
_FORWARDED = (*TRACING_HEADERS, "end-user", "user-agent")
_TEXTS = {
    "Reviewer1": "Two pairs of twins and one long misunderstanding: the funniest hour on any stage.",
    "Reviewer2": "Quick and merry, though lighter than what the same author wrote later.",
}


def create_application(version: str, pod: str) -> Flask:
    """The application of one version (`v1`, `v2` or `v3`); `pod` is the name it gives for itself."""
    application = Flask("reviews")
    colour = COLOURS[version]

    @application.get("/health")
    def health() -> ResponseReturnValue:
        return {"status": "Reviews is healthy"}

    @application.get("/reviews/<int:product>")
    def reviews(product: int) -> ResponseReturnValue:
        stars = _stars(product, colour, request.headers) if colour else None
        return {
            "id": str(product),
            "podname": pod,
            "clustername": "null",
            "reviews": [_review(reviewer, text, colour, stars) for reviewer, text in _TEXTS.items()],
        }

    return application


def _stars(product: int, colour: str, headers: Mapping[str, str]) -> Mapping[str, int]:
    """The stars by reviewer; none when ratings does not answer in time, or not with 200."""
    answer = get_json(
        f"{service_url('ratings')}/ratings/{product}",
        chosen_headers(headers, _FORWARDED),
        _RATINGS_TIMEOUT_S[colour],
    )
    if answer.status != 200 or not isinstance(answer.document, dict):
        print(
            f"no ratings from {service_url('ratings')}: status {answer.status}", file=sys.stderr, flush=True
        )
        return {}
    stars: Mapping[str, int] = answer.document.get("ratings", {})
    return stars


def _review(reviewer: str, text: str, colour: str | None, stars: Mapping[str, int] | None) -> dict[str, Any]:
    review: dict[str, Any] = {"reviewer": reviewer, "text": text}
    if stars is not None and reviewer in stars:
        review["rating"] = {"stars": stars[reviewer], "color": colour}
    elif stars is not None:
        review["rating"] = {"error": "Ratings service is currently unavailable"}
    return review


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the version that `--version` or `SERVICE_VERSION` names (default v1)."""
    options = listening_options("reviews", __doc__ or "", port=PORT)
    options.add_argument("--version", choices=COLOURS, default=os.environ.get("SERVICE_VERSION", "v1"))
    chosen = options.parse_args(argv)
    application = create_application(chosen.version, os.environ.get("HOSTNAME") or socket.gethostname())
    return serve(application, chosen.host, chosen.port, threads=16, server_name="WebSphere")


if __name__ == "__main__":
    sys.exit(main())
