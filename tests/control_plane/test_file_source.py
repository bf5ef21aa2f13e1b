"""What is in the files is in the store: soon after a save, never half of one, never anything broken."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from minimesh.config.diagnostics import has_errors
from minimesh.config.resources import ResourceKey
from minimesh.config.store import Store
from minimesh.control_plane.file_source import (
    EMPTY_AFTER_S,
    GONE_AFTER_S,
    MAX_FILE_BYTES,
    SETTLED_AFTER_S,
    ChangeDetector,
    FileSet,
    FileSource,
    Fingerprint,
    look,
    pause_after_look_s,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from minimesh.config.diagnostics import Diagnostic

TIMEOUT_S = 10


def service(name: str, port: int = 80) -> str:
    return f"""\
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: {port}}}]}}
"""


BROKEN = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n"

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: route}
spec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}
"""


def names(store: Store) -> set[str]:
    return {each.name for each in store.snapshot().by_kind("Service")}


def port_of(store: Store, name: str) -> int:
    [found] = [each for each in store.snapshot().by_kind("Service") if each.name == name]
    port: int = found.spec.ports[0].port
    return port


def mark(number: int, size_bytes: int = 10) -> Fingerprint:
    return Fingerprint(number, size_bytes, 1)


class TestLook:
    def test_only_configuration_files_are_seen_at_any_depth(self, tmp_path: Path) -> None:
        (tmp_path / "deep" / "er").mkdir(parents=True)
        (tmp_path / ".git").mkdir()
        for name in (
            *("a.yaml", "b.yml", "c.json", "deep/er/d.yaml"),
            *("README.md", ".hidden.yaml", "a.yaml~", "a.yaml.swp", "4913", ".git/e.yaml"),
        ):
            (tmp_path / name).write_text("")
        seen = {os.path.relpath(path, tmp_path) for path in look([str(tmp_path)])}
        assert seen == {"a.yaml", "b.yml", "c.json", "deep/er/d.yaml"}

    def test_a_file_named_outright_counts_whatever_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "mesh.txt").write_text("")
        assert list(look([str(tmp_path / "mesh.txt")])) == [str(tmp_path / "mesh.txt")]

    def test_pipes_and_links_that_lead_back_up_are_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("")
        os.mkfifo(tmp_path / "pipe.yaml")
        (tmp_path / "inner").mkdir()
        (tmp_path / "inner" / "up").symlink_to("..")
        (tmp_path / "link.yaml").symlink_to("a.yaml")
        assert set(look([str(tmp_path)])) == {f"{tmp_path}/a.yaml", f"{tmp_path}/link.yaml"}

    def test_what_does_not_exist_is_not_seen(self, tmp_path: Path) -> None:
        assert look([str(tmp_path / "later")]) == {}


class TestChangeDetector:
    def test_the_first_look_reports_everything_at_once(self) -> None:
        assert ChangeDetector().first({"a": mark(1)}).changed == {"a": mark(1)}

    def test_a_change_is_reported_once_it_stayed(self) -> None:
        detector = ChangeDetector()
        detector.first({"a": mark(1)})
        assert not detector.changes({"a": mark(2)}, 0.0).changed
        assert not detector.changes({"a": mark(3)}, SETTLED_AFTER_S).changed  # still being written
        assert detector.settling
        assert detector.changes({"a": mark(3)}, 2 * SETTLED_AFTER_S).changed == {"a": mark(3)}
        assert not detector.settling
        assert not detector.changes({"a": mark(3)}, 3.0).changed

    def test_an_emptied_file_is_given_time_to_fill(self) -> None:
        detector = ChangeDetector()
        detector.first({"a": mark(1)})
        detector.changes({"a": mark(2, size_bytes=0)}, 0.0)
        assert not detector.changes({"a": mark(2, size_bytes=0)}, EMPTY_AFTER_S / 2).changed
        assert detector.changes({"a": mark(2, size_bytes=0)}, EMPTY_AFTER_S).changed

    def test_a_file_that_is_missing_only_during_a_save_is_not_gone(self) -> None:
        detector = ChangeDetector()
        detector.first({"a": mark(1)})
        assert not detector.changes({}, 0.0).gone
        assert not detector.changes({"a": mark(2)}, 0.01).gone
        assert detector.changes({"a": mark(2)}, 0.01 + SETTLED_AFTER_S).changed == {"a": mark(2)}

    def test_a_file_that_stays_away_is_gone(self) -> None:
        detector = ChangeDetector()
        detector.first({"a": mark(1)})
        detector.changes({}, 0.0)
        assert detector.changes({}, GONE_AFTER_S).gone == ("a",)
        assert not detector.changes({}, 9.0).gone

    def test_a_file_that_came_and_went_between_looks_is_forgotten(self) -> None:
        detector = ChangeDetector()
        detector.first({})
        detector.changes({"a": mark(1)}, 0.0)
        detector.changes({}, 0.01)
        assert not detector.settling

    def test_a_mistrusted_file_is_reported_again(self) -> None:
        detector = ChangeDetector()
        detector.first({"a": mark(1)})
        detector.mistrust("a")
        detector.changes({"a": mark(1)}, 0.0)
        assert detector.changes({"a": mark(1)}, 1.0).changed == {"a": mark(1)}


class TestFileSet:
    def test_a_file_with_an_error_leaves_what_it_held_in_force(self) -> None:
        store = Store()
        files = FileSet(store)
        files.update({"a.yaml": service("a")})
        files.update({"a.yaml": BROKEN})
        assert names(store) == {"a"}
        told = {(each.file, each.line, each.field) for each in files.diagnostics()["a.yaml"]}
        assert ("a.yaml", 4, "spec.prots") in told

    def test_one_broken_file_does_not_hold_back_another(self) -> None:
        store = Store()
        FileSet(store).update({"a.yaml": BROKEN, "b.yaml": service("b")})
        assert names(store) == {"b"}

    def test_a_file_that_goes_takes_its_resources_and_diagnostics_along(self) -> None:
        store = Store()
        files = FileSet(store)
        files.update({"a.yaml": service("a"), "b.yaml": BROKEN})
        files.update({}, gone=["a.yaml", "b.yaml"])
        assert names(store) == set()
        assert files.diagnostics() == {}

    def test_two_files_may_say_the_same(self) -> None:
        store = Store()
        files = FileSet(store)
        files.update({"a.yaml": service("a"), "b.yaml": service("a")})
        files.update({}, gone=["a.yaml"])
        assert names(store) == {"a"}

    def test_two_files_that_differ_are_told_apart_and_the_first_holds(self) -> None:
        store = Store()
        files = FileSet(store)
        files.update({"a.yaml": service("a", 80), "b.yaml": service("a", 81)})
        assert port_of(store, "a") == 80
        [found] = files.diagnostics()["b.yaml"]
        assert found.file == "b.yaml"
        assert "a.yaml:3:12" in found.message

    def test_a_reference_that_leads_nowhere_is_told_until_it_leads_somewhere(self) -> None:
        store = Store()
        files = FileSet(store)
        files.update({"route.yaml": ROUTE})
        [found] = files.diagnostics()["route.yaml"]
        assert (found.severity, found.field) == ("warning", "spec.http[0].route[0].destination.host")
        assert store.snapshot().by_kind("VirtualService")
        files.update({"a.yaml": service("a")})
        assert files.diagnostics()["route.yaml"] == ()

    def test_a_conflict_ends_when_the_other_file_gives_way(self) -> None:
        store = Store()
        files = FileSet(store)
        files.update({"a.yaml": service("a", 80), "b.yaml": service("a", 81)})
        files.update({}, gone=["a.yaml"])
        assert port_of(store, "a") == 81
        assert files.diagnostics() == {"b.yaml": ()}

    def test_of_two_that_wait_for_a_file_to_give_way_the_first_comes_into_force(self) -> None:
        store = Store()
        files = FileSet(store)
        files.update({"a.yaml": service("a", 80), "b.yaml": service("a", 81), "c.yaml": service("a", 82)})
        files.update({}, gone=["a.yaml"])
        assert port_of(store, "a") == 81
        assert [path for path, found in files.diagnostics().items() if found] == ["c.yaml"]

    def test_what_two_files_declare_alike_may_be_changed_in_one_after_the_other(self) -> None:
        store = Store()
        files = FileSet(store)
        files.update({"a.yaml": service("a", 80), "b.yaml": service("a", 80)})
        files.update({"a.yaml": service("a", 81)})
        assert port_of(store, "a") == 80
        [found] = files.diagnostics()["a.yaml"]
        assert "b.yaml:3:12" in found.message
        files.update({"b.yaml": service("a", 81)})
        assert port_of(store, "a") == 81
        assert files.diagnostics() == {"a.yaml": (), "b.yaml": ()}

    def test_a_third_file_that_differs_does_not_hold_back_two_that_agree(self) -> None:
        store = Store()
        files = FileSet(store)
        files.update({"a.yaml": service("a", 80), "b.yaml": service("a", 80), "c.yaml": service("c", 80)})
        files.update({"a.yaml": service("a", 81), "d.yaml": service("c", 90)})
        files.update({"b.yaml": service("a", 81)})
        assert (port_of(store, "a"), port_of(store, "c")) == (81, 80)
        assert [path for path, found in files.diagnostics().items() if found] == ["d.yaml"]

    def test_a_file_that_cannot_be_read_says_why_and_leaves_what_it_held_in_force(self) -> None:
        store = Store()
        files = FileSet(store)
        files.update({"a.yaml": service("a")})
        files.update({}, unreadable={"a.yaml": "Permission denied"})
        assert names(store) == {"a"}
        [found] = files.diagnostics()["a.yaml"]
        assert str(found) == "a.yaml:1:1: error: cannot be read: Permission denied"
        files.update({"a.yaml": service("b")})
        assert names(store) == {"b"}
        assert files.diagnostics()["a.yaml"] == ()

    @pytest.mark.parametrize("order", [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")])
    def test_a_resource_may_move_and_change_between_files_in_one_save(self, order: tuple[str, str]) -> None:
        store = Store()
        files = FileSet(store)
        files.update({"a.yaml": service("a"), "b.yaml": service("b")})
        texts = {"a.yaml": service("c"), "b.yaml": service("b") + "---\n" + service("a", 81)}
        files.update({path: texts[path] for path in order})
        assert names(store) == {"a", "b", "c"}
        assert port_of(store, "a") == 81


class Watched:
    """A store kept in step with a folder, and everything it was told."""

    def __init__(self, *paths: Path, mesh_config: Path | None = None) -> None:
        self.store = Store()
        self.told: list[Mapping[str, tuple[Diagnostic, ...]]] = []
        self._news = asyncio.Event()
        self.store.watch(lambda _: self._news.set())
        self.source = FileSource(self.store, paths, mesh_config=mesh_config, on_diagnostics=self._tell)

    def _tell(self, diagnostics: Mapping[str, tuple[Diagnostic, ...]]) -> None:
        self.told.append(diagnostics)
        self._news.set()

    async def until(self, condition: Callable[[Store], bool]) -> None:
        """Wait for the store to fulfil a condition."""
        async with asyncio.timeout(TIMEOUT_S):
            while not condition(self.store):
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def watching(*paths: Path, mesh_config: Path | None = None) -> AsyncIterator[Watched]:
    watched = Watched(*paths, mesh_config=mesh_config)
    await watched.source.start()
    try:
        yield watched
    finally:
        await watched.source.stop()


def mesh_settings(store: Store) -> str:
    found = store.snapshot().get(ResourceKey("ConfigMap", "istio-system", "istio"))
    return str(found.spec.data["mesh"]) if found is not None else ""


class TestMeshConfig:
    """The file of mesh settings stands for the ConfigMap that has them in a cluster."""

    async def test_its_text_is_in_the_config_map_and_stays_there_through_a_broken_save(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "mesh.conf"
        file.write_text("connectTimeout: 3s\n")
        async with watching(mesh_config=file) as watched:
            assert mesh_settings(watched.store) == "connectTimeout: 3s\n"
            file.write_text("connectTimeout: soon\n")
            await watched.until(lambda _: any(map(has_errors, watched.source.diagnostics.values())))
            assert mesh_settings(watched.store) == "connectTimeout: 3s\n"
            file.write_text("connectTimeout: 4s\n")
            await watched.until(lambda store: mesh_settings(store) == "connectTimeout: 4s\n")

    async def test_it_is_taken_back_with_the_file(self, tmp_path: Path) -> None:
        file = tmp_path / "mesh.yaml"
        file.write_text("connectTimeout: 3s\n")
        async with watching(mesh_config=file) as watched:
            file.unlink()
            await watched.until(lambda store: not mesh_settings(store))


class TestFileSource:
    async def test_after_start_the_store_holds_what_the_files_say(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(service("a"))
        async with watching(tmp_path) as watched:
            assert names(watched.store) == {"a"}

    async def test_one_save_in_place_after_the_other_is_seen(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text(service("a", 80))
        async with watching(tmp_path) as watched:
            for port in range(81, 86):
                file.write_text(service("a", port))
                await watched.until(lambda store, port=port: port_of(store, "a") == port)

    async def test_a_save_by_renaming_is_never_seen_as_a_deletion(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text(service("a", 80))
        async with watching(tmp_path) as watched:
            changes: list[str] = []
            watched.store.watch(lambda found: changes.extend(each.type for each in found))
            file.rename(tmp_path / "a.yaml~")
            (tmp_path / ".a.yaml.tmp").write_text(service("a", 81))
            await asyncio.sleep(0)
            (tmp_path / ".a.yaml.tmp").rename(file)
            await watched.until(lambda store: port_of(store, "a") == 81)
            assert changes == ["MODIFIED"]

    async def test_new_and_deleted_files_come_and_go(self, tmp_path: Path) -> None:
        async with watching(tmp_path) as watched:
            (tmp_path / "b.yaml").write_text(service("b"))
            await watched.until(lambda store: names(store) == {"b"})
            (tmp_path / "b.yaml").unlink()
            await watched.until(lambda store: names(store) == set())

    async def test_a_folder_may_come_later(self, tmp_path: Path) -> None:
        folder = tmp_path / "later" / "deep"
        async with watching(tmp_path / "later") as watched:
            assert names(watched.store) == set()
            folder.mkdir(parents=True)
            (folder / "a.yaml").write_text(service("a"))
            await watched.until(lambda store: names(store) == {"a"})

    async def test_breaking_and_mending_a_file_is_told(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text(service("a"))
        async with watching(tmp_path) as watched:
            file.write_text(BROKEN)
            await watched.until(lambda _: bool(watched.told[-1][str(file)]))
            assert names(watched.store) == {"a"}
            assert watched.told[-1][str(file)][0].file == str(file)
            file.write_text(service("a"))
            await watched.until(lambda _: not watched.told[-1][str(file)])


@pytest.mark.parametrize(
    ("cost_s", "settling", "pause_s"),
    [(0.0001, False, 0.025), (0.00005, True, 0.004), (0.001, True, 0.05), (0.01, False, 0.5)],
)
def test_looks_are_as_far_apart_as_keeps_them_cheap(cost_s: float, settling: bool, pause_s: float) -> None:
    assert pause_after_look_s(cost_s, settling=settling) == pytest.approx(pause_s)


class TestFilesThatAreNone:
    """What would fill the memory, or keep the mesh waiting, is named and not read."""

    async def reason(self, path: Path) -> str:
        async with watching(path) as watched:
            [found] = [each for of_file in watched.source.diagnostics.values() for each in of_file]
            return found.message

    async def test_a_file_larger_than_any_manifest(self, tmp_path: Path) -> None:
        file = tmp_path / "huge.yaml"
        with file.open("wb") as sparse:
            sparse.truncate(MAX_FILE_BYTES + 1)
        assert await self.reason(file) == "cannot be read: it is larger than 16 MiB"

    async def test_a_pipe_that_nobody_writes_to(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe.yaml"
        os.mkfifo(pipe)
        assert await self.reason(pipe) == "cannot be read: it is no file but a pipe or a device"

    async def test_a_name_that_is_not_utf_8(self, tmp_path: Path) -> None:
        name = os.fsencode(tmp_path) + b"/\xff.yaml"
        try:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
        except OSError:
            pytest.skip("this file system takes no such name")
        assert await self.reason(tmp_path) == "cannot be read: its name is not in UTF-8; rename it"
