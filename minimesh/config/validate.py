"""Everything that can be said about a set of files, or about one object, without running a mesh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from minimesh.config.decoding import decode
from minimesh.config.diagnostics import Diagnostic, Severity
from minimesh.config.json_nodes import read_json
from minimesh.config.references import check_references
from minimesh.config.resources import Resource
from minimesh.config.store import Store


def check(texts: Mapping[str, str]) -> list[Diagnostic]:
    """All findings about the files, whose names map to their contents; by file and place.

    Beside what `decode` finds in each: objects that two files declare differently, and names that lead
    nowhere among these files. The former are warnings: a folder of samples holds alternatives, which istiod
    takes one after the other, while a mesh over all of the files at once refuses them.
    """
    found: list[Diagnostic] = []
    resources: list[Resource] = []
    store = Store()
    for file, text in texts.items():
        decoded = decode(text, file)
        found.extend(decoded.diagnostics)
        found.extend(map(_alternative, store.apply_file(file, decoded.resources)))
        resources.extend(decoded.resources)
    found.extend(check_references(resources))
    order = {file: number for number, file in enumerate(texts)}
    return sorted(found, key=lambda one: (order.get(one.file, 0), one.line, one.column))


def _alternative(finding: Diagnostic) -> Diagnostic:
    if finding.code != "duplicate-resource":
        return finding
    return replace(finding, severity=Severity.WARNING, message=f"{finding.message}, before `up` reads both")


def validate_object(document: Mapping[str, Any], file: str = "") -> list[Diagnostic]:
    """All findings about an object as JSON has it: strict fields, schema and its rules, istiod's checks.

    Findings name the field, as in `spec.http[0].route[0].weight`; there is no place in a file to tell. What
    only the text shows, such as a field that is given twice, `validate_text` finds.
    """
    return list(read_json(document, file)[1])


def validate_text(text: str, file: str = "") -> list[Diagnostic]:
    """All findings about the objects in a body of YAML or JSON, as `validate_object` has them."""
    return list(decode(text, file).diagnostics)


def strict_decoding_error(diagnostics: Iterable[Diagnostic]) -> str | None:
    """What the API server says of fields that it does not know or that are given twice; None without any."""
    words = {"unknown-field": "unknown", "duplicate-key": "duplicate"}
    found = [f'{words[one.code]} field "{one.field}"' for one in diagnostics if one.code in words]
    return f"strict decoding error: {', '.join(found)}" if found else None


def admission_warnings(diagnostics: Iterable[Diagnostic]) -> list[str]:
    """What is accepted though likely not what was meant, as lines that kubectl shows after `Warning:`."""
    return [
        f"{one.field}: {one.message}" if one.field else one.message
        for one in diagnostics
        if one.severity is Severity.WARNING
    ]
