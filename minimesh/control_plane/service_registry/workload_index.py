"""Workloads by name and by label, so that what a selector selects is found without a search."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy

from minimesh.control_plane.service_registry.services import Service
from minimesh.control_plane.service_registry.workloads import Workload


class WorkloadIndex:
    """Workloads by name, and by namespace and label: what a selector can select is found without a search."""

    def __init__(self, workloads: Sequence[Workload]) -> None:
        self._named = _by_name(workloads)
        self._labelled: dict[tuple[str, str, str], list[Workload]] = {}
        for workload in workloads:
            for label in _labels(workload):
                self._labelled.setdefault(label, []).append(workload)

    def with_changes(
        self, gone: Collection[Workload], come: Iterable[Workload], workloads: Sequence[Workload]
    ) -> WorkloadIndex:
        """The index without some of its workloads, and with others: of all these `workloads`."""
        index = copy(self)
        index._named = _by_name(workloads)
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


def _by_name(workloads: Sequence[Workload]) -> dict[tuple[str, str], Workload]:
    """Of those with one name (a Pod and a WorkloadEntry may share it) the first."""
    return {(each.namespace, each.name): each for each in reversed(workloads)}


def _labels(workload: Workload) -> list[tuple[str, str, str]]:
    return [(workload.namespace, key, value) for key, value in workload.labels.items()]


def workload_order(workload: Workload) -> tuple[str, str, str]:
    return (workload.namespace, workload.name, workload.address)


def selects_workload(service: Service, namespace: str, labels: Mapping[str, str]) -> bool:
    if service.namespace != namespace:
        return False
    return all(labels.get(key) == value for key, value in service.selector.items())
