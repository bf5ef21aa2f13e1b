"""`minimesh proxy`: hands its arguments over to the data plane, which knows what they mean."""

from __future__ import annotations

import sys

import click


@click.command(
    name="proxy",
    short_help="Run one proxy: a hand-written Envoy file, or what a control plane sends.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def proxy(arguments: tuple[str, ...]) -> None:
    """Run one proxy (`minimesh proxy --help` lists the options)."""
    # Imported here: the other commands need neither Envoy's messages nor the HTTP engine.
    from minimesh.data_plane.command import main

    sys.exit(main(arguments))
