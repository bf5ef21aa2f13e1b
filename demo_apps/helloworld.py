"""Istio's hello-world sample: `/hello` says which version and which instance answered."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from flask import Flask

from demo_apps.serving import listening_options, serve

PORT = 5000
PLAIN_TEXT = {"content-type": "text/plain; charset=utf-8"}


def create_application(version: str, instance: str) -> Flask:
    """The application of one version; `instance` is the pod's name."""
    application = Flask("helloworld")

    @application.get("/hello")
    def hello() -> tuple[str, dict[str, str]]:
        return f"Hello version: {version}, instance: {instance}\n", PLAIN_TEXT

    @application.get("/health")
    def health() -> tuple[str, dict[str, str]]:
        return "Helloworld is healthy", PLAIN_TEXT

    return application


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the version that `--version` or `SERVICE_VERSION` names (default v1)."""
    options = listening_options("helloworld", __doc__ or "", port=PORT)
    options.add_argument("--version", default=os.environ.get("SERVICE_VERSION", "v1"))
    chosen = options.parse_args(argv)
    application = create_application(chosen.version, os.environ.get("HOSTNAME") or socket.gethostname())
    return serve(application, chosen.host, chosen.port, threads=4, server_name="gunicorn")


if __name__ == "__main__":
    sys.exit(main())
