"""Names, namespaces and labels, as the API server wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.finding import (
    Finding,
    Findings,
    as_name,
    check_labels,
    is_label,
    is_service_name,
    is_subdomain,
)

if TYPE_CHECKING:
    from minimesh.config.kinds import Kind
    from minimesh.config.resources import Resource


def check_metadata(resource: Resource, kind: Kind) -> Findings:
    """Name, namespace and labels, as the API server wants them."""
    metadata = resource.metadata
    if not metadata.name:
        if not metadata.generate_name:
            yield Finding("metadata.name", "missing-field", "is missing; every object needs a name")
        return
    strict = {"Service": is_service_name, "Namespace": is_label, "Gateway": is_label}.get(
        kind.stored_as, is_subdomain
    )
    if not strict(metadata.name) or len(metadata.name) > 253:
        yield Finding(
            "metadata.name",
            "bad-name",
            f'"{metadata.name}" must be lower case letters, digits and dashes'
            + (", at most 63, and begin with a letter" if kind.name == "Service" else ""),
            suggestion=as_name(metadata.name),
        )
    if kind.namespaced and not is_label(metadata.namespace):
        yield Finding(
            "metadata.namespace",
            "bad-name",
            f'"{metadata.namespace}" must be lower case letters, digits and dashes',
            suggestion=as_name(metadata.namespace),
        )
    yield from check_labels("metadata.labels", metadata.labels)
