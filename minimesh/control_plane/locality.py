"""Where workloads run: region, zone and sub-zone, and how near one place is to another.

Pods say it by label (a cluster would ask their nodes): Istio's own `istio-locality`, written
`region.zone.sub-zone`, or the topology labels that Kubernetes copies from nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

LOCALITY_LABEL = "istio-locality"
REGION_LABEL = "topology.kubernetes.io/region"
ZONE_LABEL = "topology.kubernetes.io/zone"
SUB_ZONE_LABEL = "topology.istio.io/subzone"
NETWORK_LABEL = "topology.istio.io/network"

OTHER_REGION = 3
"""The distance of what shares not even the region."""


class Locality(NamedTuple):
    """A place; parts that are not known are empty."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""

    @classmethod
    def parse(cls, text: str) -> Locality:
        """`region/zone/sub-zone`, from which parts may be missing at the end."""
        return cls(*text.split("/", 2))

    def __str__(self) -> str:
        return "/".join(self).rstrip("/")

    def distance(self, other: Locality) -> int:
        """0 the same place, 1 the same zone, 2 the same region, 3 another region."""
        if self.region != other.region:
            return OTHER_REGION
        if self.zone != other.zone:
            return 2
        return 0 if self.sub_zone == other.sub_zone else 1

    def matches(self, rule: str) -> bool:
        """Whether a rule means this place: `region/zone/*`, `region`, `*`; zones left out are any."""
        region, zone, sub_zone = Locality.parse(rule)
        return (
            region in ("*", self.region)
            and zone in ("*", "", self.zone)
            and sub_zone in ("*", "", self.sub_zone)
        )


NOWHERE = Locality()
"""The place of what does not say where it is."""


def locality_of_labels(labels: Mapping[str, str]) -> Locality:
    """The place that a workload's labels name; Istio's own label wins."""
    written = labels.get(LOCALITY_LABEL, "")
    if written:
        return Locality.parse(written if "/" in written else written.replace(".", "/"))
    return Locality(*(labels.get(name, "") for name in (REGION_LABEL, ZONE_LABEL, SUB_ZONE_LABEL)))


def topology_labels(labels: Mapping[str, str], locality: Locality, network: str = "") -> dict[str, str]:
    """The labels of a workload with those that its place gives it, as `failoverPriority` compares them."""
    derived = dict(zip((REGION_LABEL, ZONE_LABEL, SUB_ZONE_LABEL), locality, strict=True))
    derived[NETWORK_LABEL] = network
    return {**labels, **{name: value for name, value in derived.items() if value}}
