"""Workloads by name and by label, so that what a selector selects is found without a search."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy

from minimesh.control_plane.service_registry.services import Service
from minimesh.control_plane.service_registry.workloads import Workload


class WorkloadIndex:
    """Workloads by name, and by namespace and label: what a selector can select is found without a search."""

    def __init__(self, workloads: Sequence[Workload]) -> None:
        self._named: dict[tuple[str, str], Workload] = {}
        self._labelled: dict[tuple[str, str, str], list[Workload]] = {}
        for workload in workloads:
            self._named.setdefault((workload.namespace, workload.name), workload)
            for label in _labels(workload):
                self._labelled.setdefault(label, []).append(workload)

    def with_changes(self, gone: Collection[int], come: Iterable[Workload]) -> WorkloadIndex:
        """The index without the workloads of these identities, and with others."""
        index = copy(self)
        index._named = {key: each for key, each in self._named.items() if id(each) not in gone}
        index._labelled = dict(self._labelled)
        touched = {label for each in self._named.values() if id(each) in gone for label in _labels(each)}
        for label in touched:
            index._labelled[label] = [each for each in self._labelled[label] if id(each) not in gone]
        for workload in come:
            index._named.setdefault((workload.namespace, workload.name), workload)
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

    def same_as(self, workloads: Iterable[Workload]) -> Iterator[Workload]:
        """The indexed ones that are equal to these."""
        for workload in workloads:
            label = next(iter(workload.labels.items()), None)
            if label is None:
                known = (self.named(workload.namespace, workload.name),)
                yield from (each for each in known if each == workload and each is not None)
            else:
                found = self._labelled.get((workload.namespace, *label), ())
                yield from [each for each in found if each == workload][:1]


def _labels(workload: Workload) -> list[tuple[str, str, str]]:
    return [(workload.namespace, key, value) for key, value in workload.labels.items()]


def workload_order(workload: Workload) -> tuple[str, str, str]:
    return (workload.namespace, workload.name, workload.address)


def selects_workload(service: Service, namespace: str, labels: Mapping[str, str]) -> bool:
    if service.namespace != namespace:
        return False
    return all(labels.get(key) == value for key, value in service.selector.items())
