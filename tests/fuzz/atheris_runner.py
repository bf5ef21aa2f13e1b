"""Runs libFuzzer with seeds: what `atheris_http1` and `atheris_http2` have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris

KEPT = Path(".hypothesis").absolute()
"""Where seeds lie and what was learnt is kept; git ignores it."""
MAX_BYTES = 2048


def fuzz(name: str, seeds: Iterable[bytes], one_input: Callable[[bytes], object]) -> None:
    """Fuzz with libFuzzer's options of the command line. Ends the process, at a finding with an error."""
    folder = KEPT / f"{name}-seeds"
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / str(number)).write_bytes(seed[:MAX_BYTES])
    learnt = KEPT / name
    learnt.mkdir(exist_ok=True)
    options = [f"-max_len={MAX_BYTES}", "-timeout=10", f"-artifact_prefix={KEPT / name}-"]
    # libFuzzer writes what it learns into the first folder.
    atheris.Setup([*sys.argv[:1], *options, *sys.argv[1:], str(learnt), str(folder)], one_input)
    atheris.Fuzz()
