"""What is asked of the proxies, and what CPU a request may cost against Envoy."""

from __future__ import annotations

import dataclasses

BROWSER = """
local count = 0
request = function()
  count = count + 1
  wrk.headers["User-Agent"] =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0"
  wrk.headers["Accept"] =
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
  wrk.headers["Accept-Encoding"] = "gzip, deflate, br"
  wrk.headers["Accept-Language"] = "en-GB,en;q=0.9,nl;q=0.8"
  wrk.headers["Sec-Fetch-Dest"] = "document"
  wrk.headers["Sec-Fetch-Mode"] = "navigate"
  wrk.headers["Cookie"] = "session=" .. count .. "; theme=dark; consent=all"
  return wrk.format("GET", "/?page=" .. count)
end
"""
UPLOAD = """
wrk.method = "POST"
wrk.body = string.rep("x", 1048576)
wrk.headers["Content-Type"] = "application/octet-stream"
"""
ANEW = """
wrk.headers["Connection"] = "close"
"""
RANDOM_ROUTE = """
math.randomseed(7)
request = function()
  return wrk.format("GET", "/route-" .. math.random(0, ROUTES - 1) .. "/page")
end
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Workload:
    """One load. `must` is the ratio of CPU a request to Envoy's that is to be reached; None: none is set."""

    key: str
    name: str
    must: float | None = None
    path: str = "/"
    script: str = ""
    hops: int = 1
    """Proxies of one kind in a row."""
    routes: int = 1
    tls: bool = False
    peers: bool = False
    """Measured with every proxy, not only Envoy and minimesh."""


WORKLOADS = (
    Workload("W1", "small GET, same head", 0.40, peers=True),
    Workload("W1b", "browser heads, unique cookie and query", 0.50, script=BROWSER, peers=True),
    Workload("10K", "10 KB bodies", 0.45, path="/10k", peers=True),
    Workload("1M-down", "1 MB down", 0.90, path="/1m", peers=True),
    Workload("1M-up", "1 MB up", 0.90, path="/up", script=UPLOAD, peers=True),
    Workload("W3", "gateway then sidecar", 0.45, hops=2),
    Workload("W5", "a connection a request", 0.65, script=ANEW, peers=True),
    Workload("W4-10", "10 routes, paths at random", script=RANDOM_ROUTE, routes=10),
    Workload("W4-1000", "1,000 routes, paths at random", script=RANDOM_ROUTE, routes=1000),
    Workload("W4-10000", "10,000 routes, paths at random", script=RANDOM_ROUTE, routes=10000),
    Workload("TLS", "TLS termination, keep-alive, browser heads", 0.80, script=BROWSER, tls=True),
)
