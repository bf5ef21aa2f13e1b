"""ReferenceGrants: what objects of other namespaces may refer to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from minimesh.config.kinds import GATEWAY_API

if TYPE_CHECKING:
    from minimesh.config.resources import Resource


class Grants:
    """All grants of a snapshot, as a set of who may refer to what."""

    def __init__(self, grants: Iterable[Resource]) -> None:
        self._allowed: set[tuple[str, str, str, str, str]] = set()
        for grant in grants:
            for from_ in grant.spec.from_:
                if (from_.group or "") != GATEWAY_API:
                    continue
                for to in grant.spec.to:
                    kind = f"{to.kind}.{to.group}" if to.group else to.kind
                    self._allowed.add((from_.kind, from_.namespace, kind, grant.namespace, to.name or "*"))

    def allow(self, from_kind: str, from_namespace: str, kind: str, namespace: str, name: str) -> bool:
        """Whether an object of the Gateway API may refer to this one.

        `kind` is `Service`, or `Kind.group` outside the core group.
        """
        if namespace == from_namespace:
            return True
        asked = (from_kind, from_namespace, kind, namespace)
        return (*asked, "*") in self._allowed or (*asked, name) in self._allowed
