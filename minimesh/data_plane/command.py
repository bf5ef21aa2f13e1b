"""The command line of a proxy: arguments become a bootstrap, an address map and options; then it runs.

`main` is what `minimesh proxy` and a forked pod run.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from minimesh.data_plane.admin.pages import HEALTH, METRICS
from minimesh.data_plane.network.address_map import AddressMap, parse_port_map
from minimesh.data_plane.server import DEFAULT_CONCURRENCY, ProxyOptions, ProxyServer, run_proxy
from minimesh.data_plane.xds_client.ads_target import pod_bootstrap
from minimesh.data_plane.xds_client.bootstrap import BootstrapError, BootstrapFile, read_bootstrap

LOG = logging.getLogger("minimesh.main")
DEFAULT_ADMIN_PORT = 15000


def main(argv: Sequence[str]) -> int:
    """Run a proxy with these arguments (without the program's name); returns the exit status.

    0 after an orderly end; 1 when the configuration or an address is not to be had; 2 for wrong arguments.
    """
    parser = _argument_parser()
    try:
        arguments = parser.parse_args(list(argv))
    except SystemExit as error:  # argparse has said why
        return int(error.code or 0)
    _set_up_logging(arguments.log_level)
    try:
        run_proxy(_server(arguments))
    except BootstrapError as error:
        print(error, file=sys.stderr)
        return 1
    except ArgumentProblemError as error:
        parser.print_usage(sys.stderr)
        print(f"minimesh proxy: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"minimesh proxy: error: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


class ArgumentProblemError(ValueError):
    """Arguments that each make sense, but not as they are or together."""


def _argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minimesh proxy", description="Run one proxy, from an Envoy file or a control plane."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-c", "--config-path", metavar="FILE", help="an Envoy bootstrap file, YAML or JSON")
    source.add_argument("--xds", metavar="HOST:PORT", help="the control plane to follow")
    parser.add_argument("--node-id", default="", help="node id, as sidecar~IP~POD.NAMESPACE~DOMAIN")
    parser.add_argument("--node-cluster", default="", help="node cluster, as APP.NAMESPACE")
    parser.add_argument("--node-metadata", default="{}", metavar="JSON", help="node metadata")
    parser.add_argument("--admin", metavar="HOST:PORT", help="address of the admin API")
    parser.add_argument("--access-log", default="", metavar="PATH", help="write every access log here")
    parser.add_argument("--pod-ip", default="", metavar="IP", help="stands for 0.0.0.0")
    parser.add_argument("--app-address", default="", metavar="IP", help="stands for 127.0.0.1")
    parser.add_argument(
        "--also-bind", action="append", default=[], metavar="IP", help="more addresses for 0.0.0.0"
    )
    parser.add_argument("--port-map", default="", metavar="PORT=REAL,...", help="ports that are others here")
    parser.add_argument(
        "--capture", action="store_true", help="open the pod's own ports, as a redirect would"
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        default=DEFAULT_CONCURRENCY,
        metavar="N",
        help="worker processes that share the listeners' ports (default 1; 0: one for each core)",
    )
    parser.add_argument("--drain-time-s", type=float, default=5.0, help="for requests under way at the end")
    parser.add_argument(
        "-l", "--log-level", default="warning", choices=sorted(_LEVELS), help="of standard error"
    )
    return parser


_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": logging.CRITICAL + 10,
}


def _set_up_logging(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, format="%(asctime)s\t%(levelname)s\t%(name)s\t%(message)s", force=True
    )
    logging.getLogger("minimesh").setLevel(_LEVELS[level])


def _server(arguments: argparse.Namespace) -> ProxyServer:
    if arguments.concurrency < 0:
        raise ArgumentProblemError("--concurrency: must not be negative")
    address_map = _address_map(arguments)
    if arguments.config_path:
        bootstrap = read_bootstrap(arguments.config_path)
        for notice in bootstrap.notices:
            LOG.warning("%s", notice)
        admin = (
            _address(arguments.admin, "--admin") if arguments.admin else _configured_admin(bootstrap.message)
        )
        return ProxyServer(bootstrap, address_map, _options(arguments, admin))
    return _pod_server(arguments, address_map)


def _pod_server(arguments: argparse.Namespace, address_map: AddressMap) -> ProxyServer:
    """A proxy that a control plane configures: its admin, health and metrics ports are the pod's."""
    pod_ip = arguments.pod_ip
    admin = _address(arguments.admin, "--admin") if arguments.admin else None
    if admin is None:
        admin = (pod_ip or "127.0.0.1", address_map.real_port(DEFAULT_ADMIN_PORT))
    message = pod_bootstrap(
        _address(arguments.xds, "--xds"),
        node_id=arguments.node_id,
        node_cluster=arguments.node_cluster,
        node_metadata=_metadata(arguments.node_metadata),
        admin=admin,
    )
    bootstrap = BootstrapFile(message, "<command line>", {})
    health = (pod_ip, address_map.real_port(HEALTH.port)) if pod_ip else None
    metrics = (pod_ip, address_map.real_port(METRICS.port)) if pod_ip else None
    return ProxyServer(bootstrap, address_map, _options(arguments, admin, health, metrics))


def _options(
    arguments: argparse.Namespace,
    admin: tuple[str, int] | None,
    health: tuple[str, int] | None = None,
    metrics: tuple[str, int] | None = None,
) -> ProxyOptions:
    return ProxyOptions(
        admin=admin,
        health=health,
        metrics=metrics,
        access_log=arguments.access_log,
        drain_time_s=arguments.drain_time_s,
        concurrency=arguments.concurrency or _cores(),
    )


def _cores() -> int:
    """The processors that this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _address_map(arguments: argparse.Namespace) -> AddressMap:
    try:
        port_map = parse_port_map(arguments.port_map)
    except ValueError as error:
        raise ArgumentProblemError(f"--port-map: {error}") from None
    return AddressMap(
        pod_ip=arguments.pod_ip,
        app_address=arguments.app_address,
        also_bind=tuple(address for each in arguments.also_bind for address in each.split(",") if address),
        port_map=port_map,
        capture=arguments.capture,
    )


def _address(text: str, option: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ArgumentProblemError(f"{option}: {text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _configured_admin(message: Any) -> tuple[str, int] | None:
    if not message.admin.HasField("address"):
        return None
    address = message.admin.address.socket_address
    return address.address, address.port_value


def _metadata(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ArgumentProblemError(f"--node-metadata: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ArgumentProblemError("--node-metadata: must be a JSON object")
    return found
