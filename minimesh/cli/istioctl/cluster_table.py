"""`proxy-config cluster`: a proxy's upstream clusters by service, port, subset and direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from minimesh.cli.istioctl.route_table import describe_origin
from minimesh.cli.istioctl.tabwriter import tabulate

Json = dict[str, Any]
_PARTS = 4
_HEADER = ("SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE")


@dataclass(frozen=True, slots=True)
class ClusterFilter:
    """What `--fqdn`, `--port`, `--subset` and `--direction` ask for: parts of the cluster's name."""

    fqdn: str = ""
    port: int = 0
    subset: str = ""
    direction: str = ""

    def passes(self, cluster: Json) -> bool:
        name = cluster.get("name", "")
        wanted = (self.fqdn, self.subset, self.direction, f"|{self.port}|" if self.port else "")
        return all(part in name for part in wanted)


class _Key(NamedTuple):
    """A cluster's name taken apart; fields in the order that istioctl sorts by."""

    fqdn: str
    subset: str
    port: int
    direction: str


def cluster_table(clusters: Sequence[Json], *, named: bool = False) -> str:
    """One line a cluster, in the order given. `named`: with the name first, as in `proxy-config all`."""
    rows = [
        [*([f"cluster/{each.get('name', '')}"] if named else []), *_cells(each, named=named)]
        for each in clusters
    ]
    return tabulate([*(["NAME"] if named else []), *_HEADER], rows)


def in_istioctl_order(clusters: Sequence[Json], name: str = "name") -> list[Json]:
    """By service, subset, port, direction. `name` is the field that has the cluster's name."""
    return sorted(clusters, key=lambda each: _key(each.get(name, "")))


def _key(name: str) -> _Key:
    parts = name.split("|")
    if len(parts) < _PARTS:
        return _Key(name, "", 0, "")
    direction, port, subset, fqdn = parts[:_PARTS]
    return _Key(fqdn, subset, int(port) if port.isdecimal() else 0, direction)


def _cells(cluster: Json, *, named: bool) -> tuple[str, ...]:
    name = cluster.get("name", "")
    kind, origin = cluster.get("type", "STATIC"), describe_origin(cluster)
    if name.count("|") < _PARTS - 1:
        return (f"cluster/{name}" if named else name, "-", "-", "-", kind, origin)
    key = _key(name)
    return (key.fqdn, str(key.port), key.subset or "-", key.direction, kind, origin)
