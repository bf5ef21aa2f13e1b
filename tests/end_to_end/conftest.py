"""Meshes shared by the end-to-end tests: starting one takes a second, so reading tests share it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.end_to_end.mesh import Mesh


@pytest.fixture(scope="module")
def both_labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The mesh that `make up` starts: both labs."""
    mesh = Mesh(tmp_path_factory.mktemp("both_labs"), ["gs", "httpbin"])
    try:
        mesh.console_line(r"curl .*gs\.xebia\.com")
        yield mesh
    finally:
        mesh.stop()


@pytest.fixture
def start_mesh(tmp_path: Path) -> Iterator[Callable[..., Mesh]]:
    """Start a mesh over the named labs for one test alone."""
    meshes: list[Mesh] = []

    def start(*labs: str, options: Sequence[str] = (), prefix: Sequence[str] = ()) -> Mesh:
        mesh = Mesh(tmp_path, labs, options, prefix)
        meshes.append(mesh)
        mesh.console_line(r"curl ")
        return mesh

    yield start
    for mesh in meshes:
        mesh.stop()
