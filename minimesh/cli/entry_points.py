"""What a forked pod process can be: the proxy and the demo applications."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from minimesh.platform.pod_parent import EntryPoint

_MODULES = {
    "proxy": "minimesh.data_plane.command",
    "details": "demo_apps.bookinfo.details",
    "envoy": "minimesh.platform.envoy_agent",
    "fortio": "demo_apps.fortio",
    "gsservice": "demo_apps.gsservice",
    "helloworld": "demo_apps.helloworld",
    "http-echo": "demo_apps.http_echo",
    "httpbin": "demo_apps.httpbin",
    "productpage": "demo_apps.bookinfo.productpage",
    "ratings": "demo_apps.bookinfo.ratings",
    "reviews": "demo_apps.bookinfo.reviews",
    "sleep": "demo_apps.sleep",
    "tcp-echo": "demo_apps.tcp_echo",
}


#: What a proxy of a mesh loads when it needs it, and always does.
_PROXY_MODULES = ("minimesh.data_plane.http.http1.downstream", "minimesh.data_plane.xds_client.ads_client")


def entry_points() -> Mapping[str, EntryPoint]:
    """Entry points by name; a module is imported when its entry point first runs, unless it was preloaded."""
    return {name: _entry_point(module) for name, module in _MODULES.items()}


def preload() -> None:
    """Import everything a pod may need, so that forks share it."""
    for module in (*_MODULES.values(), *_PROXY_MODULES):
        import_module(module)
    import_module("demo_apps.httpbin").load_application()


def _entry_point(module: str) -> EntryPoint:
    def run(argv: list[str]) -> int:
        return int(import_module(module).main(argv))

    return run
