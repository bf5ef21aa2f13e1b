"""Which extensions a piece of Envoy's JSON names. Plain data only: nothing of protobuf is loaded for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

TYPED_STRUCTS = frozenset({"udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"})
"""Messages that carry another one as plain data, with its type beside."""


def extension_types(value: Any) -> Iterator[str]:
    """Every message type that a value in Envoy's JSON names, from the outside in."""
    if isinstance(value, Mapping):
        written = value.get("@type")
        if isinstance(written, str):
            name = written.rpartition("/")[2]
            if name in TYPED_STRUCTS:
                # What it carries is the extension; the wrapping is none.
                name = str(value.get("type_url") or value.get("typeUrl") or "").rpartition("/")[2]
            yield name
        yield from _types_within(value.values())
    elif isinstance(value, list | tuple):
        yield from _types_within(value)


def _types_within(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        yield from extension_types(value)
