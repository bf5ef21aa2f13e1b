"""What a change of the documents changed in the configuration that proxies get, resource by resource."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.control_plane.discovery.snapshot import Snapshot

#: What one answer shows at most; a change of the whole mesh is not read line by line.
MAX_RESOURCES = 60
_TYPES = {"CDS": "clusters", "EDS": "endpoints", "LDS": "listeners", "RDS": "routes"}


def generated_diff(
    before: Mapping[str, Snapshot], after: Mapping[str, Snapshot]
) -> tuple[list[dict[str, str]], int]:
    """The differences by proxy (`NAMESPACE/POD`), and how many more there are than are shown."""
    found = list(_differences(before, after))
    shown = [
        {"proxy": proxy, "type": short, "name": name, "diff": _unified(name, old, new)}
        for proxy, short, name, old, new in found[:MAX_RESOURCES]
    ]
    return shown, len(found) - len(shown)


def _differences(
    before: Mapping[str, Snapshot], after: Mapping[str, Snapshot]
) -> Iterator[tuple[str, str, str, Any, Any]]:
    for proxy, new in sorted(after.items()):
        old = before.get(proxy)
        for short, attribute in _TYPES.items():
            resources = getattr(new, attribute).resources
            known = getattr(old, attribute).resources if old is not None else {}
            for name in sorted({*resources, *known}):
                one, other = known.get(name), resources.get(name)
                if one is None or other is None or one.version != other.version:
                    yield proxy, short, name, one, other


def _unified(name: str, old: Any, new: Any) -> str:
    lines = difflib.unified_diff(_lines(old), _lines(new), f"before {name}", f"after {name}", lineterm="")
    return "\n".join(lines)


def _lines(resource: Any) -> list[str]:
    if resource is None:
        return []
    plain = json.loads(m.json_format.MessageToJson(resource.any))
    return str(yaml.safe_dump(plain, sort_keys=True, width=120)).splitlines()
