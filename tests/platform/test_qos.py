"""Which class a pod's requests and limits put it in."""

from __future__ import annotations

import pytest

from minimesh.config.kubernetes.pod import ResourceRequirements
from minimesh.platform.qos import qos_class

BOTH = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("limits", "requests", "expected"),
    [
        ({}, {}, "BestEffort"),
        ({"ephemeral-storage": "1Gi"}, {}, "BestEffort"),
        (BOTH, BOTH, "Guaranteed"),
        (BOTH, {}, "Guaranteed"),
        ({}, BOTH, "Burstable"),
        ({"cpu": "1"}, {}, "Burstable"),
        (BOTH, {"cpu": "500m"}, "Burstable"),
    ],
)
def test_a_pod_of_one_container(limits: dict[str, str], requests: dict[str, str], expected: str) -> None:
    assert qos_class([ResourceRequirements(limits=limits, requests=requests)]) == expected


def test_a_sidecar_that_asks_for_nothing_makes_it_burstable() -> None:
    assert qos_class([ResourceRequirements(limits=BOTH), None]) == "Burstable"
