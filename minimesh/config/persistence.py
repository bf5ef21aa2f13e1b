"""Durable objects in a journal: how a resource is written down, and how it is read again.

Written beside each other are the document as the API has it (`raw`) and the typed content, since either may
say what the other cannot: `raw` has what only clients understand, the typed content what controllers changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minimesh.config.encoding import encoded, encoded_resource
from minimesh.config.journal import Journal
from minimesh.config.json_nodes import read_json
from minimesh.config.kinds import DECODED, written_kind
from minimesh.config.resources import ObjectMeta, Resource, ResourceKey

FILE_NAME = "objects.journal"


class Persistence:
    """The durable objects of one state folder. A `Recorder` for the store."""

    def __init__(self, folder: Path) -> None:
        """Open the folder's journal. JournalError when the file is something else, OSError as it comes."""
        self._journal = Journal(folder / FILE_NAME)

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know about the journal as it was found."""
        return self._journal.notices

    def restored(self) -> tuple[Resource, ...]:
        """All objects that were recorded, in the order of their first recording."""
        return tuple(read_record(value) for value in self._journal.values.values())

    def record(self, stored: Resource) -> None:
        """Write the object down. OSError when the disk refuses."""
        self._journal.write([(_name(stored.key), written(stored))])

    def forget(self, key: ResourceKey) -> None:
        """Write down that the object is gone. OSError when the disk refuses."""
        if _name(key) in self._journal.values:
            self._journal.write([(_name(key), None)])

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


def forget_all(folder: Path) -> bool:
    """Remove what is recorded in a folder; whether there was anything. For a folder that no mesh holds."""
    found = list(folder.glob(f"{FILE_NAME}*"))
    for path in found:
        path.unlink(missing_ok=True)
    return bool(found)


def written(resource: Resource) -> dict[str, Any]:
    """The resource as a record of the journal."""
    typed = (resource.api_version, written_kind(resource.kind)) in DECODED
    content = encoded_resource(resource) if typed else _untyped(resource)
    return {"typed": typed, "content": content, "raw": resource.raw}


def read_record(value: Mapping[str, Any]) -> Resource:
    """The resource that a record of the journal says."""
    content, raw = value["content"], value["raw"]
    if not value["typed"]:
        return dataclasses.replace(_read_untyped(content), raw=raw)
    # What the record says was accepted once: findings of today's rules do not take it away.
    (resource,), _ = read_json(content, FILE_NAME)
    return dataclasses.replace(resource, raw=raw)


def _untyped(resource: Resource) -> dict[str, Any]:
    """A resource of a kind that nothing here reads; its spec and status are plain data."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": encoded(resource.metadata),
        "spec": resource.spec,
        "status": resource.status,
    }


def _read_untyped(content: Mapping[str, Any]) -> Resource:
    carrier = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": content["metadata"]}
    (read,), _ = read_json(carrier, FILE_NAME)
    # A ConfigMap has a namespace always; not every kind has one.
    metadata: ObjectMeta = dataclasses.replace(
        read.metadata, namespace=content["metadata"].get("namespace", "")
    )
    return Resource(
        api_version=content["apiVersion"],
        kind=content["kind"],
        metadata=metadata,
        spec=content["spec"],
        status=content["status"],
    )


def _name(key: ResourceKey) -> str:
    return f"{key.kind}/{key.namespace}/{key.name}"
