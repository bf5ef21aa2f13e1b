"""Everything that can be said about a set of files without running a mesh."""

from __future__ import annotations

from collections.abc import Mapping

from minimesh.config.decoding import decode
from minimesh.config.diagnostics import Diagnostic
from minimesh.config.references import check_references
from minimesh.config.resources import Resource
from minimesh.config.store import Store


def check(texts: Mapping[str, str]) -> list[Diagnostic]:
    """All findings about the files, whose names map to their contents; by file and place.

    Beside what `decode` finds in each: objects that two files declare differently, and names that lead
    nowhere among these files.
    """
    found: list[Diagnostic] = []
    resources: list[Resource] = []
    store = Store()
    for file, text in texts.items():
        decoded = decode(text, file)
        found.extend(decoded.diagnostics)
        found.extend(store.apply_file(file, decoded.resources))
        resources.extend(decoded.resources)
    found.extend(check_references(resources))
    order = {file: number for number, file in enumerate(texts)}
    return sorted(found, key=lambda one: (order.get(one.file, 0), one.line, one.column))
