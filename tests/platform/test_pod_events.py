"""What the node is called."""

from __future__ import annotations

import pytest

from minimesh.platform.pod_events import node_name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("vm", "vm"),
        ("Ada-Laptop.local", "ada-laptop.local"),
        ("Ada's MacBook", "ada-s-macbook"),
        ("..", "minimesh"),
        ("", "minimesh"),
    ],
)
def test_a_node_bears_the_machines_name(host: str, name: str) -> None:
    assert node_name(host) == name
