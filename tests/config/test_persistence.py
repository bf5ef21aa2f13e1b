"""Durable objects: there again after the process' end, unless a file says otherwise."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from minimesh.config.decoding import decode
from minimesh.config.json_nodes import read_json
from minimesh.config.kubernetes.core import NamespaceStatus
from minimesh.config.kubernetes.meta import ManagedFieldsEntry
from minimesh.config.persistence import FILE_NAME, Persistence, forget_all
from minimesh.config.resources import ObjectMeta, Resource, ResourceKey
from minimesh.config.store import Change, Store

KEY = ResourceKey("ConfigMap", "default", "a")


def config_map(value: str = "1", file: str = "a.yaml") -> Resource:
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata: {{k: '{value}'}}\n"
    (resource,) = decode(text, file).resources
    return resource


def started(folder: Path) -> Store:
    """A store as `minimesh up` makes it over what the folder remembers."""
    persistence = Persistence(folder)
    store = Store(recorder=persistence)
    store.restore(persistence.restored())
    return store


def stored(store: Store, key: ResourceKey = KEY) -> Resource:
    found = store.snapshot().get(key)
    assert found is not None
    return found


def value(store: Store) -> str:
    return str(stored(store).spec.data["k"])


def test_a_durable_object_is_there_again_with_all_its_metadata(tmp_path: Path) -> None:
    store = started(tmp_path)
    store.put(config_map(), durable=True)
    before = store.put(config_map("2"))
    after = stored(started(tmp_path))
    assert after == before
    assert (after.metadata.uid, after.metadata.generation) == (before.metadata.uid, 2)
    assert after.raw == before.raw


def test_other_objects_are_not(tmp_path: Path) -> None:
    started(tmp_path).put(config_map())
    assert len(started(tmp_path).snapshot()) == 0


def test_versions_go_on_counting(tmp_path: Path) -> None:
    store = started(tmp_path)
    version = int(store.put(config_map(), durable=True).metadata.resource_version)
    again = started(tmp_path).put(config_map("2"))
    assert int(again.metadata.resource_version) > version


def test_a_deleted_object_stays_away(tmp_path: Path) -> None:
    store = started(tmp_path)
    store.put(config_map(), durable=True)
    store.delete(KEY)
    assert len(started(tmp_path).snapshot()) == 0


def test_status_alone_costs_no_write(tmp_path: Path) -> None:
    store = started(tmp_path)
    (namespace,) = decode("apiVersion: v1\nkind: Namespace\nmetadata: {name: lab}\n", "n.yaml").resources
    put = store.put(namespace, durable=True)
    size = (tmp_path / FILE_NAME).stat().st_size
    store.put(replace(put, status=NamespaceStatus(phase="Active")))
    assert (tmp_path / FILE_NAME).stat().st_size == size


def test_a_kind_that_nothing_here_reads_keeps_its_data(tmp_path: Path) -> None:
    raw = {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "spec": {"cron": ["*", {"x": None}]}}
    custom = Resource(
        api_version="stable.example.com/v1",
        kind="CronTab",
        metadata=ObjectMeta(name="c", labels={"a": "b"}),
        spec=raw["spec"],
        raw=raw,
    )
    put = started(tmp_path).put(custom, durable=True)
    after = stored(started(tmp_path), put.key)
    assert after == put
    assert after.raw == raw


def test_a_gateway_of_the_gateway_api_is_not_taken_for_one_of_istios(tmp_path: Path) -> None:
    text = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata: {name: a, namespace: default}
    spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}
    """
    (gateway,) = decode(text, "a.yaml").resources
    before = started(tmp_path).put(gateway, durable=True)
    assert stored(started(tmp_path), gateway.key) == before


def test_an_object_that_came_as_json_survives(tmp_path: Path) -> None:
    route = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "v", "annotations": {"note": "a\nb\x7f"}},
        "spec": {
            "hosts": ["h"],
            "http": [{"timeout": "1.5s", "route": [{"destination": {"host": "h"}}]}],
        },
    }
    ((resource,), _) = read_json(route, "api")
    put = started(tmp_path).put(resource, durable=True)
    assert stored(started(tmp_path), put.key) == put


class FullDisk:
    """A recorder that has no room."""

    def record(self, stored: Resource) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def forget(self, key: ResourceKey) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_cannot_be_written_down_does_not_happen() -> None:
    store = Store(recorder=FullDisk())
    seen: list[Change] = []
    store.watch(seen.extend)
    with pytest.raises(OSError, match="No space"):
        store.put(config_map(), durable=True)
    assert (len(store.snapshot()), store.snapshot().version, seen) == (0, 0, [])
    store.restore([config_map()])
    with pytest.raises(OSError, match="No space"):
        store.delete(KEY)
    assert value(store) == "1"


def test_what_a_file_declares_is_not_recorded_and_says_where_it_is_declared(tmp_path: Path) -> None:
    store = started(tmp_path)
    store.apply_file("a.yaml", [config_map()])
    store.put(config_map("2"), durable=True)
    assert value(store) == "2"
    assert not store.is_durable(KEY)
    declared = store.declared_at(KEY)
    assert declared is not None
    assert (declared.file, declared.line) == ("a.yaml", 4)
    assert len(started(tmp_path).snapshot()) == 0


def test_a_file_hides_a_durable_object_with_a_warning_until_it_goes(tmp_path: Path) -> None:
    store = started(tmp_path)
    store.put(config_map("from the API"), durable=True)
    store.apply_file("a.yaml", [config_map("from the file")])
    assert value(store) == "from the file"
    (warning,) = store.hidden_by_files()
    assert (warning.severity, warning.file, warning.line) == ("warning", "a.yaml", 4)
    assert "stored through the API" in warning.message
    assert value(started(tmp_path)) == "from the API"
    store.remove_file("a.yaml")
    assert value(store) == "from the API"
    assert store.hidden_by_files() == ()
    assert store.is_durable(KEY)


def test_a_file_that_says_the_same_as_the_api_needs_no_warning(tmp_path: Path) -> None:
    store = started(tmp_path)
    one = config_map()
    note = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    more = replace(one.spec, data={**one.spec.data, "filled in by the API": "yes"})
    store.put(replace(one, spec=more, metadata=replace(one.metadata, annotations=note)), durable=True)
    store.apply_file("a.yaml", [config_map()])
    assert store.hidden_by_files() == ()
    store.apply_file("a.yaml", [config_map("other")])
    assert len(store.hidden_by_files()) == 1


def test_forgetting_all_leaves_no_trace(tmp_path: Path) -> None:
    started(tmp_path).put(config_map(), durable=True)
    assert forget_all(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not forget_all(tmp_path)


def test_who_manages_the_fields_is_remembered(tmp_path: Path) -> None:
    store = started(tmp_path)
    first = store.put(config_map(), durable=True)
    entry = ManagedFieldsEntry(manager="kubectl", operation="Apply", fields_v1={"f:data": {"f:k": {}}})
    store.put(replace(first, metadata=replace(first.metadata, managed_fields=(entry,))))
    assert stored(started(tmp_path)).metadata.managed_fields == (entry,)
