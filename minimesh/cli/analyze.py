"""`minimesh analyze`: what Istio's analyzers say of files and folders, without a mesh."""

from __future__ import annotations

import click

from minimesh.cli.istioctl.analyze import analyze as istioctl_analyze
from minimesh.cli.paths import refuse_missing


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "-o", "--output", type=click.Choice(["log", "json", "yaml"]), default="log", help="Output format."
)
@click.option("-S", "--suppress", multiple=True, help="CODE=KIND NAME.NAMESPACE: messages not to report.")
@click.option("-n", "--namespace", default=None, help="For documents that name none.")
@click.pass_context
def analyze(
    ctx: click.Context, paths: tuple[str, ...], output: str, suppress: tuple[str, ...], namespace: str | None
) -> None:
    """Analyze files and folders of Istio configuration, as `istioctl analyze -R --use-kube=false` does.

    Exit status 79, as istioctl's, when there is an error.
    """
    refuse_missing(paths)
    ctx.invoke(
        istioctl_analyze,
        files=paths,
        recursive=True,
        use_kube=False,
        output=output,
        suppress=suppress,
        namespace=namespace,
    )
