"""How many requests are under way at each endpoint, as the proxies that call them count.

Least request chooses by these numbers, so that they show why an endpoint was taken. They are asked of the
admin API of the proxies that have lately sent requests on, which a real Envoy has too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import aiohttp

from minimesh.config.proxy_ports import ADMIN_PORT

if TYPE_CHECKING:
    from minimesh.dashboard.sending import Sender

#: Proxies asked at a time: a page that looks must not become a load itself.
MOST_PROXIES = 8
_GAUGE = "rq_active"


async def active_requests(
    sender: Sender, callers: Iterable[str], pods: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """`NAMESPACE/POD` of an endpoint -> requests under way to it. `callers`: proxies, likewise named."""
    wanted = set(list(dict.fromkeys(callers))[:MOST_PROXIES])
    by_ip = {pod["ip"]: f"{pod['namespace']}/{pod['name']}" for pod in pods}
    asked = [pod for pod in pods if f"{pod['namespace']}/{pod['name']}" in wanted]
    found: Counter[str] = Counter()
    for answer in await asyncio.gather(*(_ask(sender, pod) for pod in asked)):
        for address, active in _hosts(answer):
            if address in by_ip:
                found[by_ip[address]] += active
    return dict(found)


async def _ask(sender: Sender, pod: Mapping[str, Any]) -> Mapping[str, Any]:
    ports = pod["port_map"]
    port = ports.get(ADMIN_PORT) or ports.get(str(ADMIN_PORT)) or ADMIN_PORT
    try:
        answer: Mapping[str, Any] = await sender.json(f"http://{pod['ip']}:{port}/clusters?format=json")
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return {}
    return answer


def _hosts(answer: Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    for cluster in answer.get("cluster_statuses", ()):
        for host in cluster.get("host_statuses", ()):
            address = host.get("address", {}).get("socket_address", {}).get("address", "")
            for stat in host.get("stats", ()):
                if stat.get("name") == _GAUGE:
                    yield address, int(stat.get("value", 0))
