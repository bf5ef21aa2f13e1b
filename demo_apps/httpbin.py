"""httpbin itself: the published package behind our server.

The package costs two megabytes beyond Flask, so running it beats imitating it. Only its complaint about a
missing optional dependency is silenced.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, cast

from demo_apps.access_log import FORMATS, logged
from demo_apps.serving import listening_options, serve

PORT = 80
# What the published image's server calls itself.
SERVER_NAME = "gunicorn/19.9.0"


def load_application() -> Any:
    """Import the package's Flask application, without the warning that importing it logs."""
    logger = logging.getLogger("httpbin.core")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        from httpbin import app
    finally:
        logger.setLevel(level)
    return cast(Any, app)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve httpbin; requests that wait (`/delay`, `/drip`) hold one of sixteen threads each."""
    options = listening_options("httpbin", "httpbin, the package", port=PORT)
    options.add_argument(
        "--access-log", choices=FORMATS, help="tell of answers, as which server (default: no)"
    )
    chosen = options.parse_args(argv)
    application = load_application()
    if chosen.access_log:
        application = logged(application, FORMATS[chosen.access_log])
    return serve(application, chosen.host, chosen.port, threads=16, server_name=SERVER_NAME)


if __name__ == "__main__":
    sys.exit(main())
