"""What a container of its own runs: one pod of one Deployment, whatever else is configured."""

from __future__ import annotations

import pytest

from minimesh.cli.pod import node_metadata, store_of_one
from minimesh.cli.refusal import Refusal
from minimesh.config.injection import ProxyRole
from minimesh.platform.workloads import workloads
from tests.end_to_end.mesh import REPOSITORY

HTTPBIN = (str(REPOSITORY / "configs" / "httpbin"),)


@pytest.mark.parametrize(
    ("deployment", "role"),
    [
        ("httpbin", ProxyRole.SIDECAR),
        ("default/sleep", ProxyRole.SIDECAR),
        ("istio-system/istio-ingressgateway", ProxyRole.GATEWAY),
    ],
)
def test_a_container_runs_one_pod_of_its_deployment(deployment: str, role: ProxyRole) -> None:
    (pod,) = workloads(store_of_one(deployment, HTTPBIN).snapshot())
    assert (pod.name, pod.role) == (deployment.rpartition("/")[2], role)


def test_a_deployment_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refusal, match="there is no Deployment default/nothing"):
        store_of_one("nothing", HTTPBIN)


def test_a_containers_environment_names_the_workload_group_to_join() -> None:
    environment = {"ISTIO_META_AUTO_REGISTER_GROUP": "dbs", "HOME": "/root"}
    assert node_metadata(environment) == {"AUTO_REGISTER_GROUP": "dbs", "MINIMESH_AUTO_REGISTER": "true"}
