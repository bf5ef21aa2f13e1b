"""TLS on the event loop that proxies run on, which has a record layer of its own."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvloop

from tests.data_plane.http import test_tls_downstream, test_tls_upstream
from tests.data_plane.xds_client import test_secrets


def _scenarios(*modules: ModuleType) -> Iterator[Any]:
    """Every test of these modules that needs no more than a folder."""
    for module in modules:
        for owner_name, owner in inspect.getmembers(module, inspect.isclass):
            for name, test in inspect.getmembers(owner, inspect.iscoroutinefunction):
                if name.startswith("test_") and [*inspect.signature(test).parameters] == ["self", "tmp_path"]:
                    yield pytest.param(owner, name, id=f"{owner_name}.{name}")


MODULES = (test_tls_downstream, test_tls_upstream, test_secrets)


@pytest.mark.parametrize(("owner", "name"), [*_scenarios(*MODULES)])
def test_on_uvloop(owner: type, name: str, tmp_path: Path) -> None:
    uvloop.run(getattr(owner(), name)(tmp_path))
