"""`istioctl proxy-status`: every proxy at a glance, or one proxy against what it should have."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from minimesh.cli.istioctl.admin import config_dump
from minimesh.cli.istioctl.command_group import namespace_option
from minimesh.cli.istioctl.config_dump import ConfigDump, NotInDumpError
from minimesh.cli.istioctl.control_plane import ask_control_plane
from minimesh.cli.istioctl.dump_diff import describe_differences
from minimesh.cli.istioctl.proxy_status_table import (
    ProxyRow,
    TypeSync,
    long_status_table,
    old_status_table,
    status_table,
)
from minimesh.cli.istioctl.targets import running_pod

#: What the control plane is called where Istio shows the name of its pod.
ISTIOD = "istiod"


@click.command()
@click.argument("target", required=False, metavar="[TYPE/]NAME[.NAMESPACE]")
@click.option("-v", "--verbosity", default=0, help="1 for a column of each type with its state.")
@click.option(
    "--old-columns", is_flag=True, help="The columns of istioctl before 1.27: CDS LDS EDS RDS ECDS."
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Output format.")
@click.option("-f", "--file", type=click.Path(path_type=Path), help="The proxy's /config_dump in a file.")
@namespace_option
def proxy_status(  # one for each option
    target: str | None,
    verbosity: int,
    old_columns: bool,
    output: str,
    file: Path | None,
    namespace: str | None,
) -> None:
    """Retrieve the synchronization status of each Envoy in the mesh, or of one in detail [alias: ps]."""
    if target:
        click.echo(_differences(target, namespace, file), nl=False)
    elif output == "json":
        click.echo(json.dumps(ask_control_plane("/debug/syncz"), indent=4))
    else:
        click.echo(_table(connected_proxies(namespace), verbosity, old_columns=old_columns), nl=False)


def connected_proxies(namespace: str | None = None) -> list[ProxyRow]:
    """The proxies that the running mesh's control plane serves; ClickException when it does not answer."""
    synced = {each["proxy"]: each for each in ask_control_plane("/debug/syncz")}
    rows = []
    for proxy in ask_control_plane("/debug/status")["proxies"]:
        name = f"{proxy['name']}.{proxy['namespace']}"
        sync = synced.get(name, {})
        if namespace in (None, proxy["namespace"]):
            version = sync.get("istio_version", "")
            rows.append(ProxyRow(name, sync.get("cluster_id", ""), version, _types(proxy["types"])))
    return rows


def _table(rows: list[ProxyRow], verbosity: int, *, old_columns: bool) -> str:
    if old_columns:
        return old_status_table(rows, ISTIOD)
    if verbosity:
        return long_status_table(rows, ISTIOD, datetime.now(UTC))
    return status_table(rows, ISTIOD)


def _types(types: dict[str, Any]) -> dict[str, TypeSync]:
    return {
        name: TypeSync(each["state"], datetime.fromisoformat(each["acked_at"]) if each["acked_at"] else None)
        for name, each in types.items()
    }


def _differences(target: str, namespace: str | None, file: Path | None) -> str:
    pod = running_pod(target, namespace)
    name = quote(f"{pod['name']}.{pod['namespace']}")
    try:
        meant = ConfigDump(ask_control_plane(f"/debug/config_dump?proxy={name}"))
        had = ConfigDump(json.loads(file.read_text()) if file else config_dump(pod))
    except (OSError, ValueError, NotInDumpError) as error:
        raise click.ClickException(str(error)) from error
    return describe_differences(meant, had)
