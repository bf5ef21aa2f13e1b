"""What a case added to the statistics of a proxy, and which of Envoy's are not compared.

Gauges are at rest when they are read, so that only counters change. Histograms are not compared: Envoy shows
them only every few seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: What requests and connections add to; all else is about the process.
_COMPARED = re.compile(r"^(http|cluster|listener|tcp|vhost)\.(?!admin\.)")
#: How many bytes these count depends on the digits of times, and on the proxy's own address.
_BYTES = re.compile(r"_bytes_(total|buffered)$")

#: Statistics that minimesh does not have, or that chance counts, by pattern, and why.
NOT_COUNTED: Mapping[str, str] = {
    r"^listener\..*\.worker_\d+\.": "minimesh has no worker threads; the listener counts the same",
    r"^http\..*downstream_cx_[rt]x_bytes_total$": "counting would cost every read and write; TCP does",
    r"^cluster\..*upstream_cx_[rt]x_bytes_total$": "as above",
    r"^cluster\..*\.grpc-web\.": "their names come from the client's path, and nothing bounds them",
    r"\.ssl\.(curves|sigalgs)\.": "Python's TLS does not tell which curve was chosen",
    r"\.nghttp2_upstream_connections$": "it is named for one of the libraries that Envoy is built with",
    r"\.health_check\.": "how often hosts are checked depends on how long the suite takes",
    r"^cluster\..*\.membership_": "when a check finds a host healthy or not is chance; cases wait for it",
    r"flow_control_": "how often a socket is full depends on the machine; minimesh does not count it",
}
_NOT_COUNTED = re.compile("|".join(f"(?:{pattern})" for pattern in NOT_COUNTED) or r"(?!)")


def parse(text: str) -> dict[str, int]:
    """Counters and gauges of `/stats`, by name."""
    pairs = (line.rsplit(": ", 1) for line in text.splitlines())
    return {name: int(value) for name, value in pairs if value.isdigit() and _COMPARED.match(name)}


def added(before: Mapping[str, int], after: Mapping[str, int], ports: Mapping[str, int]) -> list[str]:
    """`name +n` for what changed; listeners by their names instead of their addresses."""
    names = {f"127.0.0.1_{port}": f"<{name}>" for name, port in ports.items()}
    found = []
    for name, value in after.items():
        more = value - before.get(name, 0)
        if not more or _NOT_COUNTED.search(name):
            continue
        kind, _, rest = name.partition(".")
        if kind == "listener":
            for address, listener in names.items():
                rest = rest.replace(address, listener)
            rest = rest.replace("127.0.0.1_", "")
        number = "<bytes>" if _BYTES.search(name) else f"{more:+d}"
        found.append(f"{kind}.{rest} {number}")
    return sorted(found)
