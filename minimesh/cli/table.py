"""Plain tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, three spaces between them."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    lines = [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    return "\n".join(lines)


def counted(number: int, noun: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def pod_table(pods: Sequence[dict[str, Any]]) -> str:
    """NAME, NAMESPACE, IP, READY, STATUS, RESTARTS, and PORTS where any are mapped."""
    mapped = any(_visible_ports(pod) for pod in pods)
    header = ("NAME", "NAMESPACE", "IP", "READY", "STATUS", "RESTARTS", *(("PORTS",) if mapped else ()))
    rows = []
    for pod in pods:
        ready = sum(container["ready"] for container in pod["containers"])
        row = [
            pod["name"],
            pod["namespace"],
            pod["ip"],
            f"{ready}/{len(pod['containers'])}",
            pod["state"],
            str(sum(container["restarts"] for container in pod["containers"])),
        ]
        rows.append((*row, *((_visible_ports(pod) or "-",) if mapped else ())))
    return table(header, rows)


def _visible_ports(pod: dict[str, Any]) -> str:
    """The pod's mapped ports, as `80->20080`, without those of the proxy's own."""
    pairs = sorted((int(port), int(real)) for port, real in pod["port_map"].items())
    return ",".join(f"{port}->{real}" for port, real in pairs if port != real and not 15000 <= port < 15100)
