"""How a proxy introduces itself, and how istioctl shows it."""

from __future__ import annotations

import ssl

import minimesh
from minimesh.cli.istioctl.bootstrap_summary import bootstrap_summary
from minimesh.data_plane.xds_client.build_version import introduce
from minimesh.xds import messages as m


def test_a_node_says_which_build_it_is() -> None:
    bootstrap = m.bootstrap_pb2.Bootstrap()
    introduce(bootstrap.node)
    assert bootstrap.node.user_agent_name == "minimesh"
    version = bootstrap.node.user_agent_build_version.version
    numbers = f"{version.major_number}.{version.minor_number}.{version.patch}"
    assert numbers == minimesh.__version__
    shown = bootstrap_summary({"bootstrap": m.json_format.MessageToDict(bootstrap)})
    assert shown == f"Envoy Version: {numbers}/Clean/RELEASE/{ssl.OPENSSL_VERSION}\n"


def test_a_name_that_a_file_gives_stays() -> None:
    node = m.bootstrap_pb2.Bootstrap().node
    node.user_agent_name = "mine"
    introduce(node)
    assert node.user_agent_name == "mine"
