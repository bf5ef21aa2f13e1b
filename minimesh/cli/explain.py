"""`minimesh explain`: which object decides a request, and why not the others."""

from __future__ import annotations

import json
import sys

import click

from minimesh.cli.paths import read_texts, refuse_missing
from minimesh.cli.refusal import Refusal


@click.command()
@click.argument("method", required=False)
@click.argument("url", required=False)
@click.option(
    "--via", default="", metavar="GATEWAY", help="The gateway that it comes in by; the only one if left out."
)
@click.option("--from", "source", default="", metavar="POD", help="The pod or workload that sends it.")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header, as curl takes it."
)
@click.option(
    "--files", multiple=True, metavar="PATH", help="Explain these files instead of the mesh that runs."
)
@click.option("--request-id", default="", metavar="ID", help="Explain a request that has happened.")
@click.option(
    "--last", default="", metavar="STATUS|FLAG", help="Explain the last one logged with this status or flag."
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to show it.")
def explain(
    method: str | None,
    url: str | None,
    via: str,
    source: str,
    headers: tuple[str, ...],
    files: tuple[str, ...],
    request_id: str,
    last: str,
    output: str,
) -> None:
    """Explain what becomes of a request: every decision on its way, and the line that caused it.

    METHOD URL is a request that might be sent; --request-id and --last find one that was, in the access logs.
    Exit status 1 when the request fails.
    """
    from minimesh.explain.explaining import explain as explain_question
    from minimesh.explain.question import Question, QuestionError
    from minimesh.explain.text import as_text
    from minimesh.explain.world import World

    if request_id or last:
        _past(request_id, last, files, output)
        return
    if method is None or url is None:
        raise Refusal(
            "which request?", "Write METHOD URL, as in: GET http://gs.xebia.com/ --via ingressgateway"
        )
    try:
        question = Question.parse(method, url, headers, via=via, source=source)
    except QuestionError as error:
        raise Refusal(str(error)) from error
    if files:
        refuse_missing(files)
        world = World.of_files(read_texts(files))
    else:
        from minimesh.cli.running_world import running_world

        world = running_world()
    found = explain_question(world, question)
    click.echo(json.dumps(found.to_json(), indent=2) if output == "json" else as_text(found))
    sys.exit(0 if found.verdict.succeeds else 1)


def _past(request_id: str, last: str, files: tuple[str, ...], output: str) -> None:
    from minimesh.cli.running_world import explain_past

    if files:
        raise Refusal("files have no past", "Leave --files out to ask about requests of the mesh that runs.")
    found = explain_past(request_id, last)
    click.echo(json.dumps(found.to_json(), indent=2) if output == "json" else found.as_text())
