"""How a patch's value is put into a message: merged with what is there, or placed in a list.

Fields that the value sets win; messages inside are merged, lists are lengthened. Durations and wrapped values
(`BoolValue` and its like) are one value each and replaced: merged field by field, `false` and `0s` would
change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.translation.protobuf_values import any_of
from minimesh.xds import messages as m
from minimesh.xds.type_registry import message_class

if TYPE_CHECKING:
    from minimesh.control_plane.translation.envoy_filters.patches import Patch

_SINGLE_VALUES = frozenset(
    f"google.protobuf.{name}"
    for name in (
        "Duration",
        "BoolValue",
        "UInt32Value",
        "UInt64Value",
        "Int32Value",
        "Int64Value",
        "DoubleValue",
        "FloatValue",
        "StringValue",
        "BytesValue",
    )
)
MERGES = frozenset({"MERGE", "MERGE_AND_REPLACE_LIST"})


def merge(target: Any, value: Any, *, replace_lists: bool = False) -> None:
    """Merge `value` into `target`, a message of the same type."""
    _clear_replaced(target, value, replace_lists)
    target.MergeFrom(value)


def merge_patch(target: Any, patch: Patch) -> None:
    """Merge a patch's value, as its operation says. A transport socket of the same name is merged within."""
    replace_lists = patch.operation == "MERGE_AND_REPLACE_LIST"
    value = patch.value
    if _same_transport_socket(target, value):
        merge_typed_config(target.transport_socket, value.transport_socket, replace_lists=replace_lists)
        value = type(value).FromString(value.SerializeToString())
        value.ClearField("transport_socket")
    merge(target, value, replace_lists=replace_lists)


def _same_transport_socket(target: Any, value: Any) -> bool:
    if "transport_socket" not in value.DESCRIPTOR.fields_by_name or not value.HasField("transport_socket"):
        return False
    return bool(value.transport_socket.name == target.transport_socket.name)


def merge_typed_config(target: Any, source: Any, *, replace_lists: bool) -> None:
    """Merge the configuration of a filter or transport socket, which both messages hold packed.

    A configuration of another type is another extension and changes nothing.
    """
    value = source.typed_config
    if not source.HasField("typed_config") or value.type_url != target.typed_config.type_url:
        return
    known = message_class(value.TypeName())
    if known is None:
        return
    present, wanted = known(), known()
    target.typed_config.Unpack(present)
    value.Unpack(wanted)
    merge(present, wanted, replace_lists=replace_lists)
    target.typed_config.CopyFrom(any_of(present))


def place(items: list[Any], patch: Patch, fits: Callable[[Any], bool] | None) -> bool:
    """Put a patch's value into a list where its operation says; whether it found its place.

    `fits` tells the item beside which it goes; None: the patch names none, so that "before" means the
    beginning and "after" the end.
    """
    at = _position(items, patch.operation, fits)
    if at is None:
        return False
    if patch.operation == "REPLACE":
        items[at] = patch.value
    else:
        items.insert(at, patch.value)
    return True


def _position(items: Sequence[Any], operation: str, fits: Callable[[Any], bool] | None) -> int | None:
    if operation == "ADD":
        return len(items)
    if operation == "INSERT_FIRST":
        return 0
    if operation not in ("INSERT_BEFORE", "INSERT_AFTER", "REPLACE"):
        return None
    if fits is None:
        return {"INSERT_BEFORE": 0, "INSERT_AFTER": len(items)}.get(operation)
    found = next((index for index, item in enumerate(items) if fits(item)), None)
    return found + 1 if found is not None and operation == "INSERT_AFTER" else found


def set_list(field: Any, items: Sequence[Any]) -> None:
    """Give a repeated field other items; they may be those it has."""
    kept = list(items)
    copies = [type(item).FromString(item.SerializeToString(deterministic=True)) for item in kept]
    del field[:]
    field.extend(copies)


def _clear_replaced(target: Any, value: Any, replace_lists: bool) -> None:
    for field, inner in value.ListFields():
        if isinstance(inner, m.Message):
            if field.message_type.full_name in _SINGLE_VALUES:
                target.ClearField(field.name)
            elif target.HasField(field.name):
                _clear_replaced(getattr(target, field.name), inner, replace_lists)
        elif replace_lists and not isinstance(inner, str | bytes | int | float | Mapping):
            target.ClearField(field.name)
