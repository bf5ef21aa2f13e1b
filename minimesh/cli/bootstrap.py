"""`minimesh bootstrap`: Envoy's own bootstrap, for an Envoy that is started by hand.

Of a pod it is the bootstrap that joins the control plane in that pod's place; of a configuration dump, one
that needs no control plane.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minimesh.cli.config_dump import GATEWAY_NAMESPACE, GATEWAY_TARGET, GATEWAY_WORDS
from minimesh.cli.control_plane import split_address
from minimesh.cli.refusal import Refusal
from minimesh.config.ip_addresses import is_ip_address

if TYPE_CHECKING:
    from minimesh.platform.envoy_bootstrap import EnvoyNode


@click.command()
@click.argument("target", metavar="POD|deploy/NAME|gateway|DUMP.json")
@click.option("-n", "--namespace", default="default", help="The pod's namespace.")
@click.option("--xds", metavar="HOST:PORT", help="The control plane; that of the running mesh by default.")
@click.option(
    "--config",
    "paths",
    multiple=True,
    metavar="PATH",
    help="Where the Deployment is, with no mesh running.",
)
@click.option("--ip", default="", metavar="IP", help="The address that this Envoy's pod is to have.")
@click.option("--tls-ca", default="", metavar="FILE", help="Authorities for the control plane's certificate.")
@click.option("--tls-cert", default="", metavar="FILE", help="The certificate to show to the control plane.")
@click.option("--tls-key", default="", metavar="FILE", help="Its private key.")
@click.option("--tls-name", default="", help="The name that the control plane's certificate must have.")
@click.option("--delta/--no-delta", default=True, show_default=True, help="Changes alone, or whole states.")
def bootstrap(
    target: str,
    namespace: str,
    xds: str | None,
    paths: tuple[str, ...],
    ip: str,
    tls_ca: str,
    tls_cert: str,
    tls_key: str,
    tls_name: str,
    delta: bool,
) -> None:
    """Print the bootstrap of an Envoy that is to be the proxy of a pod.

    \b
        minimesh bootstrap gateway --ip 127.10.200.1 > envoy.json && envoy -c envoy.json
        minimesh bootstrap deploy/reviews-v1 --config app/ --ip 10.0.0.7 --xds control-plane:15010
        minimesh config-dump gateway > dump.json && minimesh bootstrap dump.json

    Of a running mesh's pod it is that pod's own proxy, at its addresses, or with --ip a copy of it at another
    one. With --config the Deployment is read from files: its Envoy runs anywhere, listens on that machine's
    addresses, and is an endpoint for as long as it is connected. A file made by `minimesh config-dump` gives
    a bootstrap that holds everything itself.
    """
    from minimesh.platform.envoy_bootstrap import ControlPlaneTls, envoy_bootstrap

    if target.endswith(".json"):
        click.echo(json.dumps(_of_dump(Path(target)), indent=2))
        return
    if bool(tls_cert) != bool(tls_key) or ((tls_cert or tls_name) and not tls_ca):
        raise Refusal("--tls-cert goes with --tls-key, and both, like --tls-name, with --tls-ca")
    if ip and not is_ip_address(ip):
        raise Refusal(f"--ip {ip!r} is no IP address")
    if target in GATEWAY_WORDS:
        target, namespace = GATEWAY_TARGET, GATEWAY_NAMESPACE
    if paths:
        if not xds or not ip:
            raise Refusal("without a running mesh it takes --xds and --ip to say where things are")
        node = _node_from_files(target, namespace, paths, ip)
    else:
        node = _node_of_running_pod(target, namespace, ip)
    tls = ControlPlaneTls(tls_ca, tls_cert, tls_key, tls_name) if tls_ca else None
    address = split_address(xds, "--xds") if xds else _control_plane_address()
    click.echo(json.dumps(envoy_bootstrap(node, address, delta=delta, tls=tls), indent=2))


def _of_dump(path: Path) -> Any:
    from minimesh.platform.static_bootstrap import DumpError, static_bootstrap

    try:
        made = static_bootstrap(json.loads(path.read_text()))
    except OSError as error:
        raise Refusal(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        reason = str(error) if isinstance(error, DumpError) else f"not JSON: {error}"
        raise Refusal(f"{path}: {reason}", "It should come from `minimesh config-dump POD`.") from error
    for each in made.left_out:
        click.echo(f"minimesh: left out: {each}", err=True)
    return made.bootstrap


def _control_plane_address() -> tuple[str, int]:
    from minimesh.platform.state import StateFolder

    run = StateFolder.default().running()
    if run is None:
        raise Refusal("the mesh is still starting", "Ask again in a moment.")
    return "127.0.0.1", run.ads_port


def _node_of_running_pod(target: str, namespace: str, ip: str) -> EnvoyNode:
    """The node as the pod's own proxy introduces itself, at another address when one is given."""
    from minimesh.cli.istioctl.admin import config_dump
    from minimesh.cli.pods import find_pod, running_pods
    from minimesh.platform.pod_network import PodAddress
    from minimesh.platform.proxy_process import envoy_node

    pod = find_pod(running_pods(), target, namespace)
    known = next(
        entry["bootstrap"]["node"]
        for entry in config_dump(pod)["configs"]
        if entry["@type"].endswith("BootstrapConfigDump")
    )
    ports = {} if ip else {int(port): real for port, real in pod["port_map"].items()}
    kind, _, name, domain = known["id"].split("~")
    address = PodAddress(ip or pod["ip"], pod["app_address"], ports)
    metadata = {**known["metadata"], "INSTANCE_IPS": address.pod_ip}
    node_id = "~".join((kind, address.pod_ip, name, domain))
    return envoy_node(node_id, known["cluster"], metadata, address, captures=kind == "sidecar")


def _node_from_files(target: str, namespace: str, paths: tuple[str, ...], ip: str) -> EnvoyNode:
    """The node of a Deployment's pod at an address that is its own: no other one is mapped to it."""
    from minimesh.cli.pod import store_of_one
    from minimesh.platform.environment import PodFacts
    from minimesh.platform.pod_network import PodAddress
    from minimesh.platform.proxy_process import envoy_node, node_cluster, node_id, node_metadata
    from minimesh.platform.workloads import workloads

    wanted = f"{namespace}/{target.rpartition('/')[2]}"
    pods = workloads(store_of_one(wanted, paths).snapshot())
    workload = next(each for each in pods if f"{each.namespace}/{each.name}" == wanted)
    facts = PodFacts(
        name=f"{workload.key.name}-{ip.replace('.', '-').replace(':', '-')}",
        namespace=workload.namespace,
        pod_ip=ip,
        app_address="127.0.0.1",
        service_account=workload.service_account,
        labels=workload.metadata.labels,
        annotations=workload.metadata.annotations,
    )
    address = PodAddress(ip, "127.0.0.1")
    metadata = node_metadata(workload, facts, address) | {"MINIMESH_AUTO_REGISTER": "true"}
    node = envoy_node(node_id(workload.role, facts), node_cluster(workload), metadata, address, captures=True)
    return dataclasses.replace(node, admin=("127.0.0.1", node.admin[1]))
