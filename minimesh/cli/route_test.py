"""`minimesh test`: are requests routed as a file says they are? Without a mesh."""

from __future__ import annotations

import os.path
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minimesh.cli.paths import read_texts, refuse_missing
from minimesh.cli.refusal import Refusal
from minimesh.cli.table import counted

if TYPE_CHECKING:
    from minimesh.explain.route_tests.case_file import ReadCases
    from minimesh.explain.route_tests.judgement import Judgement


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--config", multiple=True, metavar="PATH", help="Test these files and folders, not those that FILE names."
)
@click.option("-q", "--quiet", is_flag=True, help="Say what is otherwise than expected, without the reasons.")
def test(files: tuple[str, ...], config: tuple[str, ...], quiet: bool) -> None:
    """Try the cases of route-test files; exit status 1 when one fails.

    Each case is a request and what is expected of it: its destinations, what is rewritten, a redirect, a
    direct answer, or that no route takes it. docs/route-tests.md tells how to write them.
    """
    refuse_missing((*files, *config))
    judgements = [each for file in files for each in _judged(file, config)]
    for each in judgements:
        click.echo(_shown(each, quiet=quiet))
    failed = sum(not each.passes for each in judgements)
    click.echo(f"{counted(len(judgements), 'case')}, {f'{failed} failed' if failed else 'all as expected'}.")
    sys.exit(1 if failed else 0)


def _judged(file: str, config: tuple[str, ...]) -> Iterable[Judgement]:
    from minimesh.config.diagnostics import has_errors, render
    from minimesh.explain.route_tests.case_file import read_cases
    from minimesh.explain.route_tests.judgement import judge
    from minimesh.explain.world import World

    text = Path(file).read_text(encoding="utf-8", errors="replace")
    cases = read_cases(text, file)
    if has_errors(cases.diagnostics):
        click.echo(render(cases.diagnostics, {file: text}))
        raise Refusal(f"{file} cannot be tried", "Mend it; docs/route-tests.md tells how.")
    paths = config or _paths(file, cases)
    refuse_missing(paths)
    texts = read_texts(paths)
    world = World.of_files(texts)
    if has_errors(world.diagnostics):
        click.echo(render([each for each in world.diagnostics if each.severity == "error"], texts))
        raise Refusal("the configuration has errors", "Mend it: what has errors would not be applied.")
    return [judge(world, each) for each in cases.cases]


def _paths(file: str, cases: ReadCases) -> tuple[str, ...]:
    if not cases.config:
        raise Refusal(f"{file} names no configuration", "Add `config: [PATH]` to it, or say --config PATH.")
    folder = Path(file).parent
    return tuple(os.path.normpath(folder / path) for path in cases.config)


def _shown(judgement: Judgement, *, quiet: bool) -> str:
    from minimesh.explain.text import as_text

    case, place = judgement.located.case, judgement.located.location
    if judgement.passes:
        return f"ok    {case.name}"
    lines = [f"FAIL  {case.name}   [{place.file}:{place.line}]"]
    lines += [f"      {mismatch}" for mismatch in judgement.mismatches]
    if judgement.explanation is not None and not quiet:
        lines += ["", *(f"      {line}".rstrip() for line in as_text(judgement.explanation).splitlines()), ""]
    return "\n".join(lines)
