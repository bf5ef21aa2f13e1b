"""`istioctl proxy-config`: what one proxy has, of a running pod or of a dump in a file."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from minimesh.cli.istioctl import cluster_table as clusters
from minimesh.cli.istioctl import endpoint_table as endpoints
from minimesh.cli.istioctl import listener_table as listeners
from minimesh.cli.istioctl import route_table as routes
from minimesh.cli.istioctl.admin import ask_proxy, config_dump
from minimesh.cli.istioctl.bootstrap_summary import bootstrap_summary
from minimesh.cli.istioctl.command_group import AliasGroup, namespace_option
from minimesh.cli.istioctl.config_dump import ConfigDump, NotInDumpError
from minimesh.cli.istioctl.ecds_table import ecds_table
from minimesh.cli.istioctl.log_levels import wanted_levels
from minimesh.cli.istioctl.resource_json import to_json, to_yaml
from minimesh.cli.istioctl.secret_table import secret_table
from minimesh.cli.istioctl.targets import pods_with_labels, running_pod
from minimesh.cli.pods import running_pods

F = TypeVar("F", bound=Callable[..., Any])
_ALIASES = {
    **dict.fromkeys(("listeners", "l"), "listener"),
    **dict.fromkeys(("routes", "r"), "route"),
    **dict.fromkeys(("clusters", "c"), "cluster"),
    **dict.fromkeys(("endpoints", "ep"), "endpoint"),
    **dict.fromkeys(("secrets", "s"), "secret"),
    "b": "bootstrap",
    "o": "log",
    "a": "all",
    "ec": "ecds",
}
_TARGET = "[TYPE/]NAME[.NAMESPACE]"


@click.command(cls=AliasGroup, aliases=_ALIASES)
def proxy_config() -> None:
    """Retrieve information about proxy configuration from Envoy [alias: pc]."""


def _subject(output: str = "short") -> Callable[[F], F]:
    """Which proxy or file, and how to show it: TARGET, -n, -f and -o."""

    def decorate(function: F) -> F:
        options = (
            click.argument("target", required=False, metavar=_TARGET),
            click.option(
                "-f", "--file", help="An Envoy's dump in a file, - for standard input, in place of a pod."
            ),
            click.option("-o", "--output", default=output, help="Output format: one of json|yaml|short."),
            namespace_option,
        )
        decorated: Any = _with_errors(function)
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def _with_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(**arguments: Any) -> None:
        if arguments["output"] not in ("json", "yaml", "short"):
            raise click.ClickException(f'output format "{arguments["output"]}" not supported')
        if bool(arguments["target"]) == bool(arguments["file"]):
            name = click.get_current_context().command.name
            raise click.ClickException(f"{name} requires pod name or --file parameter")
        try:
            function(**arguments)
        except NotInDumpError as error:
            raise click.ClickException(str(error)) from error

    return run


@proxy_config.command("listener")
@_subject()
@click.option("--address", default="", help="Filter listeners by address field.")
@click.option("--port", default=0, help="Filter listeners by port field.")
@click.option("--type", "kind", default="", help="Filter listeners by type field: HTTP, TCP or HTTP+TCP.")
@click.option(
    "--verbose", type=bool, is_flag=False, flag_value=True, default=True, help="Output more information."
)
def listener(
    target: str,
    file: str,
    output: str,
    namespace: str | None,
    address: str,
    port: int,
    kind: str,
    verbose: bool,
) -> None:
    """Retrieve listener configuration for the Envoy in the specified pod."""
    wanted = listeners.ListenerFilter(address, port, kind)
    found = [each for each in _dump(target, file, namespace).listeners() if wanted.passes(each)]
    _show(found, output, lambda: listeners.listener_table(found, verbose=verbose))


@proxy_config.command("route")
@_subject()
@click.option("--name", default="", help="Filter routes by route name field.")
@click.option(
    "--verbose", type=bool, is_flag=False, flag_value=True, default=True, help="Output more information."
)
def route(target: str, file: str, output: str, namespace: str | None, name: str, verbose: bool) -> None:
    """Retrieve route configuration for the Envoy in the specified pod."""
    ordered = routes.in_istioctl_order(_dump(target, file, namespace).routes())
    found = [each for each in ordered if name in ("", each.get("name"))]
    if name and not found:
        _say_what_there_is(name, [each.get("name", "") for each in ordered])
    _show(found, output, lambda: routes.route_table(found, verbose=verbose))


def _say_what_there_is(name: str, known: Sequence[str]) -> None:
    """Older texts name a gateway's routes by the Service's port: `http.80` is `http.8080` since Istio 1.8."""
    of_gateways = [each for each in known if each.startswith(("http.", "https."))]
    if name.startswith(("http.", "https.")) and of_gateways:
        click.echo(
            f"There are no routes called {name}: they are named after the gateway pod's own port. "
            f"Try: --name {' or --name '.join(of_gateways)}",
            err=True,
        )


@proxy_config.command("cluster")
@_subject()
@click.option("--fqdn", default="", help="Filter clusters by substring of service FQDN field.")
@click.option("--port", default=0, help="Filter clusters by port field.")
@click.option("--subset", default="", help="Filter clusters by substring of subset field.")
@click.option("--direction", default="", help="Filter clusters by direction field: inbound or outbound.")
def cluster(
    target: str,
    file: str,
    output: str,
    namespace: str | None,
    fqdn: str,
    port: int,
    subset: str,
    direction: str,
) -> None:
    """Retrieve cluster configuration for the Envoy in the specified pod."""
    wanted = clusters.ClusterFilter(fqdn, port, subset, direction)
    ordered = clusters.in_istioctl_order(_dump(target, file, namespace).clusters())
    found = [each for each in ordered if wanted.passes(each)]
    _show(found, output, lambda: clusters.cluster_table(found))


def _endpoint_options(function: F) -> F:
    for name in ("address", "cluster", "status"):
        function = click.option(f"--{name}", default="", help=f"Filter endpoints by {name} field.")(function)
    return click.option("--port", default=0, help="Filter endpoints by port field.")(function)


@proxy_config.command("endpoint")
@_subject()
@_endpoint_options
def endpoint(target: str, file: str, output: str, namespace: str | None, **wanted: Any) -> None:
    """Retrieve endpoint configuration for the Envoy in the specified pod.

    A file is what /clusters?format=json says, or a config dump with include_eds.
    """
    chosen = endpoints.EndpointFilter(**wanted)
    if file:
        document = _read_json(file)
        if "configs" in document:
            _show_assignments(ConfigDump(document), output, chosen)
            return
    else:
        document = json.loads(ask_proxy(running_pod(target, namespace), "/clusters?format=json"))
    found = endpoints.chosen_clusters(document, chosen)
    _show(found, output, lambda: endpoints.endpoint_table(found, chosen))


@proxy_config.command("eds", hidden=True)
@_subject()
@_endpoint_options
def eds(target: str, file: str, output: str, namespace: str | None, **wanted: Any) -> None:
    """Retrieve endpoint configuration with localities, as the control plane sent it."""
    _show_assignments(
        _dump(target, file, namespace, include_eds=True), output, endpoints.EndpointFilter(**wanted)
    )


@proxy_config.command("bootstrap")
@_subject(output="json")
def bootstrap(target: str, file: str, output: str, namespace: str | None) -> None:
    """Retrieve bootstrap configuration for the Envoy in the specified pod."""
    found = _dump(target, file, namespace).bootstrap()
    _show(found, output, lambda: bootstrap_summary(found))


@proxy_config.command("secret")
@_subject()
def secret(target: str, file: str, output: str, namespace: str | None) -> None:
    """Retrieve secret configuration for the Envoy in the specified pod."""
    found = _dump(target, file, namespace).secrets()
    _show(found, output, lambda: secret_table(found))


@proxy_config.command("ecds")
@_subject()
def ecds(target: str, file: str, output: str, namespace: str | None) -> None:
    """Retrieve typed extension configuration for the Envoy in the specified pod."""
    dump = _dump(target, file, namespace)
    _show(dump.whole_ecds(), output, lambda: ecds_table(dump.ecds()))


@proxy_config.command("all")
@_subject()
@click.option("--fqdn", default="", help="Filter clusters by substring of service FQDN field.")
@click.option("--port", default=0, help="Filter clusters, listeners and endpoints by port field.")
@click.option("--name", default="", help="Filter routes by route name field.")
def all_(target: str, file: str, output: str, namespace: str | None, fqdn: str, port: int, name: str) -> None:
    """Retrieve all configuration for the Envoy in the specified pod."""
    document = _read_json(file) if file else config_dump(running_pod(target, namespace), include_eds=True)
    _show(document, output, lambda: _whole_summary(ConfigDump(document), fqdn, port, name))


@proxy_config.command("log")
@click.argument("target", required=False, metavar=_TARGET)
@click.option("--level", default="", help="LEVEL for all loggers, or LOGGER:LEVEL,... for some.")
@click.option("-r", "--reset", is_flag=True, help="Reset levels to their default value (warning).")
@click.option("-l", "--selector", default="", help="Label selector, in place of a name.")
@namespace_option
def log(target: str, level: str, reset: bool, selector: str, namespace: str | None) -> None:
    """Retrieve, and with --level change, logging levels of the Envoy in the specified pod."""
    if not target and not selector:
        raise click.ClickException("log requires pod name or --selector")
    if reset and level:
        raise click.ClickException("--level cannot be combined with --reset")
    pods = (
        [running_pod(target, namespace)] if target else pods_with_labels(running_pods(), selector, namespace)
    )
    if not pods:
        raise click.ClickException(f"no pods found for selector {selector}")
    for pod in pods:
        known = ask_proxy(pod, "/logging", "POST")
        for change in wanted_levels("warning" if reset else level, known):
            known = ask_proxy(pod, f"/logging?{change}", "POST")
        click.echo(f"{pod['name']}.{pod['namespace']}:\n{known}", nl=False)


def _dump(target: str, file: str, namespace: str | None, *, include_eds: bool = False) -> ConfigDump:
    if file:
        return ConfigDump(_read_json(file))
    return ConfigDump(config_dump(running_pod(target, namespace), include_eds=include_eds))


def _read_json(file: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise click.ClickException(f"open {file}: {(error.strerror or '').lower()}") from error
    except ValueError as error:
        raise click.ClickException(f"error unmarshalling config dump response from Envoy: {error}") from error


def _show(found: Any, output: str, table: Callable[[], str]) -> None:
    if output == "short":
        click.echo(table(), nl=False)
    else:
        click.echo(to_json(found) if output == "json" else to_yaml(found) + "\n", nl=False)


def _show_assignments(dump: ConfigDump, output: str, wanted: endpoints.EndpointFilter) -> None:
    found = endpoints.chosen_assignments(dump.endpoints(), wanted)
    _show(found, output, lambda: endpoints.assignment_table(found))


def _whole_summary(dump: ConfigDump, fqdn: str, port: int, name: str) -> str:
    chosen_clusters = _chosen(clusters.in_istioctl_order(dump.clusters()), clusters.ClusterFilter(fqdn, port))
    chosen_listeners = _chosen(dump.listeners(), listeners.ListenerFilter(port=port))
    chosen_routes = [
        each for each in routes.in_istioctl_order(dump.routes()) if name in ("", each.get("name"))
    ]
    assignments = endpoints.chosen_assignments(dump.endpoints(), endpoints.EndpointFilter(port=port))
    return "\n".join(
        (
            bootstrap_summary(dump.bootstrap()),
            clusters.cluster_table(chosen_clusters, named=True),
            listeners.listener_table(chosen_listeners, named=True),
            routes.route_table(chosen_routes, named=True),
            secret_table(dump.secrets(), named=True),
            endpoints.assignment_table(assignments, named=True),
        )
    )


def _chosen(resources: Sequence[Any], wanted: Any) -> list[Any]:
    return [each for each in resources if wanted.passes(each)]
