"""`proxy-status`: the connected proxies, and how far the control plane's pushes have come with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from minimesh.cli.istioctl.tabwriter import tabulate

#: In the order that istioctl counts them; ECDS is never sent here.
_TYPES = ("CDS", "LDS", "EDS", "RDS")
_LONG_FORM = ("CDS", "ECDS", "EDS", "LDS", "RDS")
_OLD_FORM = ("CDS", "LDS", "EDS", "RDS", "ECDS")
_IGNORED = "IGNORED"
#: The control plane's word for a type that it was not asked for, or has not answered yet.
_NOT_SUBSCRIBED = "NOT SENT"


@dataclass(frozen=True, slots=True)
class TypeSync:
    """One type of one proxy: the control plane's word for it, and when it was last acknowledged."""

    state: str
    acked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProxyRow:
    """One connected proxy."""

    name: str
    cluster: str
    version: str
    types: Mapping[str, TypeSync] = field(default_factory=dict)

    def subscribed(self) -> list[str]:
        known = [name for name in _TYPES if name in self.types]
        return [name for name in known if self.types[name].state != _NOT_SUBSCRIBED]


def status_table(proxies: Sequence[ProxyRow], istiod: str) -> str:
    """Today's columns: which types each proxy asks for."""
    rows = [
        (each.name, each.cluster, istiod, each.version, f"{len(types)} ({','.join(types)})")
        for each in _ordered(proxies)
        for types in (each.subscribed(),)
    ]
    return tabulate(("NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"), rows)


def long_status_table(proxies: Sequence[ProxyRow], istiod: str, now: datetime) -> str:
    """With `-v 1`: a column for each type, with the time since it was settled."""

    def cell(each: ProxyRow, name: str) -> str:
        sync = each.types.get(name)
        if sync is None or sync.state == _NOT_SUBSCRIBED:
            return _IGNORED
        age = f" ({human_duration((now - sync.acked_at).total_seconds())})" if sync.acked_at else ""
        return sync.state + age

    rows = [
        (each.name, each.cluster, *(cell(each, name) for name in _LONG_FORM), istiod, each.version)
        for each in _ordered(proxies)
    ]
    return tabulate(("NAME", "CLUSTER", *_LONG_FORM, "ISTIOD", "VERSION"), rows)


def old_status_table(proxies: Sequence[ProxyRow], istiod: str) -> str:
    """The columns of istioctl before 1.27, which published texts show."""

    def cell(each: ProxyRow, name: str) -> str:
        sync = each.types.get(name)
        return _NOT_SUBSCRIBED if sync is None else sync.state

    rows = [
        (each.name, each.cluster, *(cell(each, name) for name in _OLD_FORM), istiod, each.version)
        for each in _ordered(proxies)
    ]
    return tabulate(("NAME", "CLUSTER", *_OLD_FORM, "ISTIOD", "VERSION"), rows)


def human_duration(seconds: float) -> str:
    """As Kubernetes writes ages: `11s`, `2m5s`, `17m`, `3h20m`, `9h`, `3d`."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{whole % 60}s" if whole % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{hours}h" if hours < 48 else f"{days}d"


def _ordered(proxies: Sequence[ProxyRow]) -> list[ProxyRow]:
    return sorted(proxies, key=lambda each: (each.cluster, each.name))
