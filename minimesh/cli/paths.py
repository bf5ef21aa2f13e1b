"""Files and folders named on the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from minimesh.cli.refusal import Refusal


def refuse_missing(paths: Sequence[str]) -> None:
    """A Refusal for the first path that is not there, or whose name nothing can show."""
    for path in paths:
        if os.fsencode(path).decode(errors="replace") != path:
            raise Refusal(f"the name {path!a} is not in UTF-8", "Rename it.")
        if not Path(path).exists():
            raise Refusal(f"{path} does not exist", _known_labs())


def read_texts(paths: Sequence[str]) -> dict[str, str]:
    """The YAML files that the paths mean, as a mesh would find them, and their text."""
    from minimesh.control_plane.file_source import look, read_file

    texts = {}
    for file in look(paths):
        try:
            texts[file] = read_file(file)[0].decode("utf-8", errors="replace")
        except OSError as error:
            raise Refusal(f"cannot read {file}: {error.strerror or error}") from error
    return texts


def _known_labs() -> str:
    labs = sorted(str(folder) for folder in Path("configs").glob("*") if any(folder.glob("*.yaml")))
    return f"There are: {', '.join(labs)}" if labs else "Name a file or a folder of YAML files."
