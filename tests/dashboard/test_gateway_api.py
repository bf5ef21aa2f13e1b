"""What the page shows of Ingresses and the Gateway API: under the names of who wrote them."""

from __future__ import annotations

from pathlib import Path

from minimesh.config.store import Store
from minimesh.control_plane.server import ControlPlane
from minimesh.dashboard.documents import documents
from minimesh.dashboard.mesh_summary import mesh_summary
from minimesh.dashboard.mesh_view import RunningMesh

FILE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: default}
spec:
  parentRefs: [{name: web}]
  rules:
  - backendRefs: [{name: a, port: 80, weight: 1}, {name: b, port: 80, weight: 3}]
"""


async def test_a_split_is_shown_where_the_route_is_written(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(FILE)
    plane = ControlPlane(Store(), ads_port=0, debug_port=0, config_paths=[tmp_path])
    await plane.start()
    try:
        (split,) = mesh_summary(RunningMesh(plane, lambda: (), ("127.0.0.1", 8080)))["splits"]
        assert split["resource"] == "HTTPRoute default/shop"
        assert (split["file"], split["line"]) == (
            str(file),
            FILE[: FILE.index("- backendRefs")].count("\n") + 1,
        )
        assert [each["share_percent"] for each in split["destinations"]] == [25, 75]
        shown = {(each["kind"], each["name"]) for each in documents(plane)["documents"]}
        assert shown == {("Gateway", "web"), ("HTTPRoute", "shop")}
    finally:
        await plane.stop()
