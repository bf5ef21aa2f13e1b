"""Workloads by name and by label, so that what a selector selects is found without a search."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from copy import copy

from minimesh.control_plane.service_registry.services import Service
from minimesh.control_plane.service_registry.workloads import Workload


class WorkloadIndex:
    """Workloads by name, and by namespace and label: what a selector can select is found without a search."""

    def __init__(self, workloads: Sequence[Workload]) -> None:
        # Of those with one name (a Pod and a WorkloadEntry may share it) the first.
        self._named = {_name(each): each for each in reversed(workloads)}
        self._labelled: dict[tuple[str, str, str], list[Workload]] = {}
        for workload in workloads:
            for label in _labels(workload):
                self._labelled.setdefault(label, []).append(workload)

    def with_changes(
        self, gone: Collection[Workload], come: Collection[Workload], workloads: Sequence[Workload]
    ) -> WorkloadIndex:
        """The index without some of its workloads, and with others: of all these `workloads`, in their order.

        Touches what changed and copies the rest: thousands of new keys for each endpoint would set the
        garbage collector going.
        """
        index = copy(self)
        index._named = dict(self._named)
        for name in {_name(each) for each in (*gone, *come)}:
            found = bisect_left(workloads, name, key=_name)
            if found < len(workloads) and _name(workloads[found]) == name:
                index._named[name] = workloads[found]
            else:
                index._named.pop(name, None)
        index._labelled = dict(self._labelled)
        out = set(map(id, gone))
        for label in {label for each in gone for label in _labels(each)}:
            index._labelled[label] = [each for each in self._labelled[label] if id(each) not in out]
        for workload in come:
            for label in _labels(workload):
                index._labelled[label] = sorted(
                    [*index._labelled.get(label, ()), workload], key=workload_order
                )
        return index

    def named(self, namespace: str, name: str) -> Workload | None:
        return self._named.get((namespace, name))

    def candidates(self, service: Service) -> Sequence[Workload]:
        """Those with the rarest label that the service selects by."""
        labelled = ((service.namespace, key, value) for key, value in service.selector.items())
        return min((self._labelled.get(each, ()) for each in labelled), key=len)


def _name(workload: Workload) -> tuple[str, str]:
    return (workload.namespace, workload.name)


def _labels(workload: Workload) -> list[tuple[str, str, str]]:
    return [(workload.namespace, key, value) for key, value in workload.labels.items()]


def workload_order(workload: Workload) -> tuple[str, str, str]:
    return (workload.namespace, workload.name, workload.address)


def selects_workload(service: Service, namespace: str, labels: Mapping[str, str]) -> bool:
    if service.namespace != namespace:
        return False
    return all(labels.get(key) == value for key, value in service.selector.items())
