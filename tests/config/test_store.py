"""The store: versions, files, watchers, snapshots."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from minimesh.config.decoding import decode
from minimesh.config.kubernetes.core import ServiceStatus
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Change, Snapshot, Store


def config_map(name: str, value: str = "1", file: str = "a.yaml", blank_lines: int = 0) -> Resource:
    text = (
        "\n" * blank_lines
        + f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata: {{k: '{value}'}}\n"
    )
    (resource,) = decode(text, file).resources
    return resource


class Seen:
    """Writes down what a store announces."""

    def __init__(self, store: Store) -> None:
        self.batches: list[list[tuple[str, str]]] = []
        self.stop = store.watch(self._on_changes)

    def _on_changes(self, changes: object) -> None:
        assert isinstance(changes, list)
        self.batches.append([(one.type, one.resource.name) for one in changes if isinstance(one, Change)])


@pytest.fixture
def store() -> Store:
    return Store(clock=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def test_the_first_put_gives_an_object_its_server_metadata(store: Store) -> None:
    metadata = store.put(config_map("a")).metadata
    assert metadata.creation_timestamp == "2026-01-02T03:04:05Z"
    assert (metadata.resource_version, metadata.generation) == ("1", 1)
    assert metadata.uid


def test_a_later_put_counts_up_and_keeps_the_creation(store: Store) -> None:
    first = store.put(config_map("a")).metadata
    second = store.put(config_map("a", "2")).metadata
    assert (second.uid, second.creation_timestamp) == (first.uid, first.creation_timestamp)
    assert (second.resource_version, second.generation) == ("2", 2)


def test_what_a_put_would_return_is_told_without_one(store: Store) -> None:
    first = store.put(config_map("a"))
    told = store.as_put(config_map("a", "2"))
    assert store.snapshot().get(first.key) == first
    assert (told.metadata.uid, told.metadata.resource_version, told.metadata.generation) == (
        first.metadata.uid,
        "1",
        2,
    )
    new = store.as_put(config_map("b")).metadata
    assert (new.resource_version, new.generation) == ("", 1)
    assert new.uid


def test_a_change_of_status_is_no_new_generation(store: Store) -> None:
    stored = store.put(config_map("a"))
    changed = store.put(replace(stored, status=ServiceStatus()))
    assert (changed.metadata.resource_version, changed.metadata.generation) == ("2", 1)


def test_saying_the_same_again_changes_nothing_but_the_place(store: Store) -> None:
    seen = Seen(store)
    store.put(config_map("a"))
    store.put(config_map("a", blank_lines=3))
    assert seen.batches == [[("ADDED", "a")]]
    stored = store.snapshot().get(ResourceKey("ConfigMap", "default", "a"))
    assert stored is not None
    assert stored.location().line == 4
    assert store.snapshot().version == 1


def test_watchers_hear_one_batch_a_call_until_they_stop(store: Store) -> None:
    seen = Seen(store)
    store.apply_file("a.yaml", [config_map("a"), config_map("b")])
    store.apply_file("a.yaml", [config_map("b", "2"), config_map("c")])
    store.delete(ResourceKey("ConfigMap", "default", "none"))
    seen.stop()
    store.remove_file("a.yaml")
    assert seen.batches == [
        [("ADDED", "a"), ("ADDED", "b")],
        [("DELETED", "a"), ("MODIFIED", "b"), ("ADDED", "c")],
    ]
    assert len(store.snapshot()) == 0


def test_a_removal_is_a_new_version(store: Store) -> None:
    stored = store.put(config_map("a"))
    before = store.snapshot().version
    assert store.delete(stored.key) == stored
    assert store.snapshot().version == before + 1
    assert store.delete(stored.key) is None
    assert store.snapshot().version == before + 1


def test_a_snapshot_does_not_change(store: Store) -> None:
    store.put(config_map("b"))
    before = store.snapshot()
    store.put(config_map("a"))
    assert [one.name for one in before.by_kind("ConfigMap")] == ["b"]
    assert [one.name for one in store.snapshot().by_kind("ConfigMap")] == ["a", "b"]
    assert store.snapshot() is store.snapshot()
    assert store.snapshot().by_kind("Secret") == ()


def test_an_object_in_two_files_stays_until_both_are_gone(store: Store) -> None:
    assert store.apply_file("a.yaml", [config_map("a")]) == ()
    assert store.apply_file("b.yaml", [config_map("a", file="b.yaml")]) == ()
    store.remove_file("a.yaml")
    assert len(store.snapshot()) == 1
    store.remove_file("b.yaml")
    assert len(store.snapshot()) == 0


def test_two_files_that_disagree_are_an_error_and_the_second_is_not_applied(store: Store) -> None:
    store.apply_file("a.yaml", [config_map("a")])
    (conflict,) = store.apply_file("b.yaml", [config_map("x"), config_map("a", "2", file="b.yaml")])
    assert (conflict.file, conflict.line, conflict.code) == ("b.yaml", 4, "duplicate-resource")
    assert "a.yaml:4:3" in conflict.message
    assert [one.name for one in store.snapshot().resources] == ["a"]


def test_a_file_goes_down_with_the_one_that_it_relies_on(store: Store) -> None:
    store.apply_file("a", [config_map("shared"), config_map("own")])
    store.apply_file("b", [config_map("shared")])
    store.apply_file("c", [config_map("own")])
    refused = store.apply_files(
        {"a": [config_map("shared", "2"), config_map("own", "2")], "b": [config_map("shared", "2")]}
    )
    assert refused.keys() == {"a", "b"}  # a for what c says of "own", b for what a goes on to say of "shared"
    assert {one.spec.data["k"] for one in store.snapshot().resources} == {"1"}


def test_one_file_that_disagrees_with_itself_is_an_error(store: Store) -> None:
    conflicts = store.apply_file("a.yaml", [config_map("a"), config_map("a", "2")])
    assert [one.code for one in conflicts] == ["duplicate-resource"]


def test_a_file_saved_again_leaves_the_status_that_a_controller_wrote(store: Store) -> None:
    store.apply_file("a.yaml", [config_map("a")])
    (stored,) = store.snapshot().resources
    store.put(replace(stored, status=ServiceStatus()))
    store.apply_file("a.yaml", [config_map("a")])
    store.apply_file("a.yaml", [config_map("a", "2")])
    assert store.snapshot().resources[0].status == ServiceStatus()


def test_a_file_saved_again_leaves_what_was_changed_since_but_for_its_place(store: Store) -> None:
    store.apply_file("a.yaml", [config_map("a")])
    store.put(config_map("a", "scaled"))
    seen = Seen(store)
    store.apply_file("a.yaml", [config_map("a", blank_lines=2)])
    (stored,) = store.snapshot().resources
    assert (stored.spec.data, stored.location("metadata.name").line) == ({"k": "scaled"}, 6)
    assert seen.batches == []


def service(*ports: int) -> Resource:
    listed = ", ".join(f"{{name: p{port}, port: {port}}}" for port in ports)
    text = f"apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {{ports: [{listed}]}}\n"
    (resource,) = decode(text, "a.yaml").resources
    return resource


@pytest.mark.parametrize(
    ("stored", "told"), [((80,), []), ((80, 81), ["also-stored"]), ((81,), ["also-stored"])]
)
def test_what_was_stored_and_a_file_says_otherwise_is_told(
    stored: tuple[int, ...], told: list[str], store: Store
) -> None:
    store.put(service(*stored), durable=True)
    store.apply_file("a.yaml", [service(80)])
    assert [one.code for one in store.hidden_by_files()] == told
    assert [port.port for port in store.snapshot().resources[0].spec.ports] == [80]
    store.remove_file("a.yaml")
    assert store.hidden_by_files() == ()
    assert [port.port for port in store.snapshot().resources[0].spec.ports] == [*stored]


def test_snapshots_share_the_kinds_in_which_nothing_changed(store: Store) -> None:
    (service,) = decode(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}", "b.yaml"
    ).resources
    store.put(service)
    store.put(config_map("b"))
    before = store.snapshot()
    store.put(config_map("a"))
    after = store.snapshot()
    assert after.by_kind("Service") is before.by_kind("Service")
    assert [one.name for one in after.by_kind("ConfigMap")] == ["a", "b"]
    assert [one.name for one in before.by_kind("ConfigMap")] == ["b"]
    store.delete(service.key)
    assert list(store.snapshot().kinds) == ["ConfigMap"]


def test_a_snapshot_made_by_hand() -> None:
    snapshot = Snapshot.of([config_map("a"), config_map("b")])
    assert [one.name for one in snapshot.by_kind("ConfigMap")] == ["a", "b"]
