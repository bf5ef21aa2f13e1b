"""What Istio's texts use of fortio: an echo server, `fortio curl URL` and `fortio load URL`.

Calls take the way that `http_proxy` says, as curl's do. Options are fortio's own, with one dash.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import math
import os
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo_apps.serving import listening_options, serve

PORT = 8080
_PERCENTILES = (50.0, 75.0, 90.0, 99.0, 99.9)
_NO_ANSWER = -1
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Client:
    """One user of one URL: a connection that is kept for as long as the other side keeps it."""

    def __init__(self, url: str, headers: dict[str, str], timeout_s: float) -> None:
        self.url = urllib.parse.urlsplit(url)
        self._headers = headers
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self.sockets = 0

    def get(self) -> tuple[http.client.HTTPResponse, bytes]:
        """One answer. OSError and http.client.HTTPException when there is none."""
        connection = self._connection or self._connect()
        try:
            connection.request("GET", self._target(), headers=self._headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._connection = None
            raise
        self._connection = None if response.will_close else connection
        return response, body

    def _connect(self) -> http.client.HTTPConnection:
        self.sockets += 1
        host, port = self.url.hostname or "", self.url.port or 80
        if proxy := self._proxy():
            host, port = proxy.hostname or "", proxy.port or 80
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)

    def _proxy(self) -> urllib.parse.SplitResult | None:
        proxy = urllib.request.getproxies_environment().get("http")
        if not proxy or urllib.request.proxy_bypass_environment(self.url.hostname or ""):
            return None
        return urllib.parse.urlsplit(proxy)

    def _target(self) -> str:
        path = urllib.parse.urlunsplit(("", "", self.url.path or "/", self.url.query, ""))
        return path if self._proxy() is None else f"http://{self.url.netloc}{path}"


@dataclass
class Tally:
    """What came of the calls."""

    durations_s: list[float] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)
    header_sizes: list[int] = field(default_factory=list)
    total_sizes: list[int] = field(default_factory=list)

    def add(self, duration_s: float, code: int, header_bytes: int, body_bytes: int) -> None:
        self.durations_s.append(duration_s)
        self.codes[code] += 1
        self.header_sizes.append(header_bytes if code == http.HTTPStatus.OK else 0)
        self.total_sizes.append(header_bytes + body_bytes)


class Load:
    """Calls of several users at a time, until there were so many or so long has passed."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._chosen = chosen
        self._tally = Tally()
        self._lock = threading.Lock()
        self._clients = [_client(chosen) for _ in range(chosen.c)]
        self._took_s = 0.0

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._use, args=(number, client), daemon=True)
            for number, client in enumerate(self._clients)
        ]
        started_s = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._took_s = time.perf_counter() - started_s

    def _use(self, number: int, client: Client) -> None:
        chosen = self._chosen
        each, rest = divmod(chosen.n, chosen.c)
        started_s = time.perf_counter()
        calls: Iterable[int] = range(each + (number < rest)) if chosen.n else itertools.count()
        for call in calls:
            if chosen.qps > 0:
                time.sleep(max(0.0, started_s + call * chosen.c / chosen.qps - time.perf_counter()))
            if not chosen.n and time.perf_counter() - started_s >= chosen.t:
                return
            self._call(number, client)

    def _call(self, number: int, client: Client) -> None:
        started_s = time.perf_counter()
        code, header_bytes, body_bytes = _NO_ANSWER, 0, 0
        try:
            response, body = client.get()
        except (OSError, http.client.HTTPException) as error:
            self._warn({"msg": "Unable to connect or read", "err": str(error), "thread": number})
        else:
            code, header_bytes, body_bytes = response.status, len(_head(response)), len(body)
            if code != http.HTTPStatus.OK:
                self._warn({"msg": "Non ok http code", "code": code, "thread": number})
        duration_s = time.perf_counter() - started_s
        with self._lock:
            self._tally.add(duration_s, code, header_bytes, body_bytes)

    def _warn(self, told: dict[str, Any]) -> None:
        if self._chosen.loglevel.lower() in ("error", "critical", "fatal"):
            return
        line = json.dumps({"ts": round(time.time(), 6), "level": "warn", **told}, separators=(",", ":"))
        print(line, file=sys.stderr, flush=True)

    def report(self) -> str:
        """The figures, in fortio's words."""
        tally, took_s, users = self._tally, self._took_s, len(self._clients)
        durations_s = sorted(tally.durations_s)
        count, qps = len(durations_s), len(durations_s) / took_s
        sockets = sum(client.sockets for client in self._clients)
        targets = [f"# target {each:g}% {_percentile(durations_s, each):.6g}" for each in _PERCENTILES]
        codes = [
            f"Code {code:3d} : {times} ({100 * times / count:.1f} %)"
            for code, times in sorted(tally.codes.items())
        ]
        mean_ms = 1000 * sum(durations_s) / max(1, count)
        return "\n".join(
            [
                f"Ended after {_duration(took_s)} : {count} calls. qps={qps:.5g}",
                f"Aggregated Function Time : {_statistics(durations_s)}",
                *targets,
                f"Sockets used: {sockets} (for perfect keepalive, would be {users})",
                *codes,
                f"Response Header Sizes : {_statistics(tally.header_sizes)}",
                f"Response Body/Total Sizes : {_statistics(tally.total_sizes)}",
                f"All done {count} calls (plus 0 warmup) {mean_ms:.3f} ms avg, {qps:.1f} qps",
            ]
        )


def load(chosen: argparse.Namespace) -> int:
    """`fortio load`: make the calls and tell how they went."""
    rate = f"{chosen.qps:g} queries per second"
    amount = f"{chosen.n} calls" if chosen.n else _duration(chosen.t)
    print(f"Fortio running at {rate}, {os.cpu_count()}->{os.cpu_count()} procs, for {amount}: {chosen.url}")
    how = "at max qps" if chosen.qps <= 0 else f"at {chosen.qps:g} qps"
    calls = f"exactly {chosen.n} calls ({chosen.n // chosen.c} per thread + {chosen.n % chosen.c})"
    print(f"Starting {how} with {chosen.c} thread(s) for {calls if chosen.n else amount}", flush=True)
    users = Load(chosen)
    users.run()
    print(users.report())
    return 0


def curl(chosen: argparse.Namespace) -> int:
    """`fortio curl`: one answer, head and body."""
    try:
        response, body = _client(chosen).get()
    except (OSError, http.client.HTTPException) as error:
        print(f"Unable to get {chosen.url}: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(_head(response))
    sys.stdout.flush()
    sys.stdout.buffer.write(body)
    return 0 if response.status < http.HTTPStatus.BAD_REQUEST else 1


def server(chosen: argparse.Namespace) -> int:
    """`fortio server`: sends back what it is sent."""

    def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        length = ("Content-Length", str(len(body)))
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), length])
        return [body]

    return serve(echo, chosen.host, chosen.port, threads=8, server_name="fortio")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand; like the image, `server` without one."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="fortio", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, run in (("curl", curl), ("load", load)):
        command = commands.add_parser(name, description=run.__doc__, allow_abbrev=False)
        _client_options(command)
        command.set_defaults(run=run)
    serving = commands.add_parser(
        "server", parents=[listening_options("fortio server", "", port=PORT)], add_help=False
    )
    serving.set_defaults(run=server)
    chosen = parser.parse_args(given or ["server"])
    return int(chosen.run(chosen))


def _client_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("-c", type=_at_least_one, default=4, help="users at a time (default: %(default)s)")
    options.add_argument("-qps", type=float, default=8.0, help="calls a second, 0 for all that can be")
    options.add_argument("-n", type=int, default=0, help="how many calls; 0: for as long as -t")
    options.add_argument("-t", type=_seconds, default=5.0, help="for how long (default: 5s)")
    options.add_argument("-timeout", type=_seconds, default=3.0, help="of one call (default: 3s)")
    options.add_argument("-H", action="append", default=[], metavar="NAME: VALUE", help="a header")
    options.add_argument("-loglevel", default="Info", help="Error keeps calls that failed from being told")
    options.add_argument("-quiet", action="store_const", dest="loglevel", const="Error")
    options.add_argument("url", type=_url, metavar="URL")


def _client(chosen: argparse.Namespace) -> Client:
    named = (header.partition(":") for header in chosen.H)
    headers = {"User-Agent": "fortio.org/fortio", **{name: value.strip() for name, _, value in named}}
    return Client(chosen.url, headers, chosen.timeout)


def _url(text: str) -> str:
    url = text if "://" in text else f"http://{text}"
    if urllib.parse.urlsplit(url).scheme != "http":
        raise argparse.ArgumentTypeError("only http:// URLs")
    return url


def _at_least_one(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _seconds(text: str) -> float:
    number = text.rstrip("msh")
    unit = text[len(number) :]
    if unit not in _UNITS_S:
        raise argparse.ArgumentTypeError("a duration, as in 30s")
    return float(number) * _UNITS_S[unit]


def _head(response: http.client.HTTPResponse) -> str:
    version = "HTTP/1.1" if response.version == 11 else "HTTP/1.0"
    lines = [
        f"{version} {response.status} {response.reason}",
        *(f"{k}: {v}" for k, v in response.getheaders()),
    ]
    return "\r\n".join([*lines, "", ""])


def _percentile(ordered: Sequence[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def _statistics(values: Sequence[float]) -> str:
    if not values:
        return "no data"
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    least, most, total = min(values), max(values), sum(values)
    spread = f"+/- {deviation:.4g} min {least:.9g} max {most:.9g}"
    return f"count {len(values)} avg {mean:.8g} {spread} sum {total:.9g}"


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.6g}ms" if seconds < 1 else f"{seconds:.8g}s"


if __name__ == "__main__":
    sys.exit(main())
