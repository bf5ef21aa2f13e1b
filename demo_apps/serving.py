"""How every demo application serves HTTP: options, a small threaded keep-alive server, a quiet end.

Flask's own development server closes a connection after each answer, which would hide everything that a
proxy's connection pool does; waitress keeps connections open, is pure Python, and forks well.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from waitress.server import create_server

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# A laptop may hold a request of any size for a lab on streaming; waitress' own limit is 1 GiB.
REQUEST_BODY_LIMIT_BYTES = 16 * 1024**3
CONNECTION_LIMIT = 1000


def listening_options(program: str, description: str, *, port: int) -> argparse.ArgumentParser:
    """The options that every application has: the address and port it listens on."""
    options = argparse.ArgumentParser(prog=program, description=description)
    options.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    options.add_argument("--port", type=int, default=port, help="port to listen on (default: %(default)s)")
    return options


def serve(application: WSGIApplication, host: str, port: int, *, threads: int, server_name: str) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code.

    `server_name` is what the `Server` header says. An address that cannot be bound is one line on
    standard error and exit code 1.
    """
    signal.signal(signal.SIGTERM, _leave)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        server = create_server(
            application,
            host=host,
            port=port,
            threads=threads,
            ident=server_name,
            connection_limit=CONNECTION_LIMIT,
            max_request_body_size=REQUEST_BODY_LIMIT_BYTES,
            # The sidecar in front speaks for the client: the application has to see what it says.
            clear_untrusted_proxy_headers=False,
            asyncore_use_poll=True,
        )
    except OSError as error:
        print(f"cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        return 1
    # The effective port: port 0 takes any free one.
    print(f"listening on {host}:{server.effective_port}", flush=True)
    server.run()
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
