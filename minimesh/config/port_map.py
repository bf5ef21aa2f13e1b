"""Which real port stands for a port that this machine cannot give, as text: `80=20080,443=20443`.

What runs pods writes it (into a Pod's annotation, a proxy's arguments and its node's metadata), the control
plane reads it.
"""

from __future__ import annotations

from collections.abc import Mapping

from minimesh.config.decimals import decimal

PORT_MAP_ANNOTATION = "minimesh.dev/port-map"
"""On a Pod: the ports that its containers really listen on."""


def port_map_text(ports: Mapping[int, int]) -> str:
    """{443: 20443, 80: 20080} -> `80=20080,443=20443`"""
    return ",".join(f"{port}={real}" for port, real in sorted(ports.items()))


def parse_port_map(text: str) -> dict[int, int]:
    """`80=20080,443=20443` -> {80: 20080, 443: 20443}; parts that are no pair of numbers are left out."""
    found = {}
    for pair in text.split(","):
        declared, _, real = pair.strip().partition("=")
        ports = decimal(declared), decimal(real)
        if ports[0] is not None and ports[1] is not None:
            found[ports[0]] = ports[1]
    return found
