"""The lab's Flask application: `/` answers the current time and which version answered."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime

from flask import Flask

from demo_apps.serving import listening_options, serve

PORT = 5000


def create_application(version: str) -> Flask:
    """The application of one version; `version` is shown as written, in capitals (`V2`)."""
    application = Flask("gsservice")
    shown = version.upper()

    @application.get("/")
    def current_time() -> tuple[str, dict[str, str]]:
        now = datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f")
        return f"Current time: {now}, version: {shown}\n", {"content-type": "text/plain; charset=utf-8"}

    return application


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the version that `--version` or `SERVICE_VERSION` names (default v1)."""
    options = listening_options("gsservice", __doc__ or "", port=PORT)
    options.add_argument("--version", default=os.environ.get("SERVICE_VERSION", "v1"))
    chosen = options.parse_args(argv)
    application = create_application(chosen.version)
    return serve(application, chosen.host, chosen.port, threads=4, server_name="Werkzeug")


if __name__ == "__main__":
    sys.exit(main())
