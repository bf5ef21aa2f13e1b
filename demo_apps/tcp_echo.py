"""Sends every line back with a word before it, on one port or several: something to route TCP to."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

PORTS = "9000"
LINE_LIMIT_BYTES = 64 * 1024


async def run(host: str, ports: Sequence[int], prefix: str) -> None:
    """Listen until SIGTERM or SIGINT. OSError when an address cannot be bound."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(prefix.encode() + b" " + line)
                await writer.drain()
        except (OSError, ValueError):
            pass  # the peer has gone, or its line is too long
        finally:
            writer.close()

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    servers = [await asyncio.start_server(echo, host, port, limit=LINE_LIMIT_BYTES) for port in ports]
    for server in servers:
        print(f"listening on {host}:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    for server in servers:
        server.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve what the published image's arguments say: ports with commas between them, and the word."""
    options = argparse.ArgumentParser(prog="tcp-echo", description=__doc__)
    options.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    options.add_argument("ports", nargs="?", default=PORTS, help="such as 9000,9001 (default: %(default)s)")
    options.add_argument("prefix", nargs="?", default="hello", help="goes before each line")
    chosen = options.parse_args(argv)
    try:
        asyncio.run(run(chosen.host, [int(port) for port in chosen.ports.split(",")], chosen.prefix))
    except OSError as error:
        print(f"cannot listen on {chosen.host}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
