"""`minimesh logs`: what a pod's container has written."""

from __future__ import annotations

import contextlib
import time

import click

from minimesh.cli.pods import container_log, find_container, find_pod, running_pods
from minimesh.platform.logs import LogFollower, last_lines

_LOOK_INTERVAL_S = 0.1


@click.command()
@click.argument("target", metavar="POD|deploy/NAME")
@click.option("-n", "--namespace", default="default", help="The pod's namespace.")
@click.option("-c", "--container", help="Which container, such as istio-proxy; the application by default.")
@click.option("-f", "--follow", is_flag=True, help="Stay and show new lines as they come.")
@click.option("--tail", type=int, default=-1, help="Only so many of the last lines; -1 for all.")
def logs(target: str, namespace: str, container: str | None, follow: bool, tail: int) -> None:
    """Show the log of a pod's container."""
    pod = find_pod(running_pods(), target, namespace)
    path = container_log(pod, find_container(pod, container))
    follower = LogFollower(path, from_end=True)
    for line in last_lines(path, tail if tail >= 0 else None):
        click.echo(line)
    with contextlib.suppress(KeyboardInterrupt):
        while follow:
            for line in follower.lines():
                click.echo(line)
            time.sleep(_LOOK_INTERVAL_S)
