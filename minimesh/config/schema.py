"""What a message class says about the fields of its YAML: names, types, and what must be given.

A kind's shape is written once, as dataclasses whose annotations are the schema (`istio/`, `kubernetes/`).
This module reads those annotations: `schema_of(ServiceSpec)` maps each API field name to its attribute and
its type. Types are resolved only when a document first uses the field, because a lab uses few of the three
hundred classes there are, and making all of them would cost more than the rest of the start-up.

Knows nothing about YAML, places in files, or what any field means.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Range:
    """The least and greatest number that a field may hold; the names are for messages."""

    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class OneOf:
    """The words that a string field may hold."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Length:
    """How many characters a string may have, or how many entries a list or a map."""

    minimum: int = 0
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """The expression that a string must contain."""

    expression: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What the published schema says in CEL: its message, and whether a value is as it asks.

    On a field, `holds` is called with the field's value; in the `schema_rules` of a message, with the values
    of the fields that are written, by the names that YAML has for them.
    """

    message: str
    holds: Callable[[Any], bool]


class Required:
    """Marks a field that must be given."""


class QuantityFormat:
    """Marks a Kubernetes amount such as `500m` or `64Mi`, which may also be written as a number."""


Req = Annotated[T, Required]
Int32 = Annotated[int, Range(-(2**31), 2**31 - 1)]
UInt32 = Annotated[int, Range(0, 2**32 - 1)]
UInt64 = Annotated[int, Range(0, 2**64 - 1)]
Percentage = Annotated[float, Range(0, 100)]
Quantity = Annotated[str, QuantityFormat]
IntOrString = int | str
Duration = timedelta
Bytes = bytes
Json = Any
"""Anything that JSON can say; the API does not look inside."""


class Message:
    """The ground of every message class: equal when the fields are; the text shows what is set."""

    __slots__ = ()
    schema_rules: ClassVar[tuple[Rule, ...]] = ()
    """What must hold between the fields."""
    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    __hash__ = None  # type: ignore[assignment]  # maps inside are not hashable

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__dataclass_fields__)

    def __repr__(self) -> str:
        unset = type(self)()
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name in self.__dataclass_fields__
            if getattr(self, name) != getattr(unset, name)
        )
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
def message(cls: type[T]) -> type[T]:
    """Make a message class: frozen, slotted, every field by keyword.

    Equality and text come from `Message`, since generating them for each class would double the time that
    importing takes.
    """
    return dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False, match_args=False)(cls)


IRREGULAR_NAMES: Mapping[str, str] = {
    "client_ip": "clientIP",
    "cluster_ip": "clusterIP",
    "cluster_ips": "clusterIPs",
    "container_id": "containerID",
    "dataset_uuid": "datasetUUID",
    "disk_uri": "diskURI",
    "downward_api": "downwardAPI",
    "external_ips": "externalIPs",
    "host_ip": "hostIP",
    "host_ipc": "hostIPC",
    "host_ips": "hostIPs",
    "host_pid": "hostPID",
    "image_id": "imageID",
    "load_balancer_ip": "loadBalancerIP",
    "pd_id": "pdID",
    "mesh_mtls": "meshMTLS",
    "pod_ip": "podIP",
    "pod_ips": "podIPs",
    "resource_id": "resourceID",
    "scale_io": "scaleIO",
    "set_hostname_as_fqdn": "setHostnameAsFQDN",
    "storage_policy_id": "storagePolicyID",
    "target_wwns": "targetWWNs",
    "volume_id": "volumeID",
}
"""API spelling of the attributes whose name does not follow from snake_case by rule."""

ALSO_SPELLED: Mapping[str, str] = {"jwks_uri": "jwksUri", "mirror_percent": "mirrorPercent"}
"""Second spellings that the published schemas list beside the first."""


def api_name(attribute: str) -> str:
    """The API's spelling of an attribute: `match_labels` -> `matchLabels`, `cluster_ip` -> `clusterIP`."""
    irregular = IRREGULAR_NAMES.get(attribute)
    if irregular is not None:
        return irregular
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), attribute.rstrip("_"))


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a value, taken apart: what it holds, and what the marks beside it say.

    `shape` is one of "scalar", "list", "map"; for a list or a map `element` is the type of what is inside.
    `python` is the class of a scalar: str, bool, int, float, bytes, timedelta, a StrEnum, a message class,
    `IntOrString`, or `object` for anything.
    """

    shape: str
    python: Any
    element: FieldType | None = None
    number_range: Range | None = None
    one_of: tuple[str, ...] = ()
    quantity: bool = False
    nullable: bool = False
    limits: tuple[Length | Pattern | Rule, ...] = ()

    @property
    def is_message(self) -> bool:
        return isinstance(self.python, type) and issubclass(self.python, Message)

    @property
    def is_enum(self) -> bool:
        return isinstance(self.python, type) and issubclass(self.python, StrEnum)


class FieldSchema:
    """One field of a message: `name` as YAML has it, `attribute` as Python has it."""

    __slots__ = ("_annotation", "_module", "_type", "attribute", "name", "required")

    def __init__(self, attribute: str, annotation: str, module: str) -> None:
        self.attribute = attribute
        self.name = api_name(attribute)
        self.required = annotation.startswith("Req[")
        self._annotation = annotation
        self._module = module
        self._type: FieldType | None = None

    @property
    def type(self) -> FieldType:
        if self._type is None:
            names = _NamesOf(sys.modules[self._module])
            self._type = _field_type(eval(self._annotation, {"__builtins__": {}}, names))
        return self._type


class _NamesOf(Mapping[str, Any]):
    """A module's names for evaluating an annotation, with those that it loads only on demand."""

    def __init__(self, module: object) -> None:
        self._module = module

    def __getitem__(self, name: str) -> Any:
        found = _BUILTIN_NAMES.get(name)
        if found is not None:
            return found
        try:
            return getattr(self._module, name)
        except AttributeError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self._module))

    def __len__(self) -> int:
        return len(vars(self._module))


_BUILTIN_NAMES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "bytes": bytes,
    "Bytes": bytes,
    "tuple": tuple,
    "object": object,
    "Mapping": Mapping,
    "Json": Any,
    "Req": Req,
    "Int32": Int32,
    "UInt32": UInt32,
    "UInt64": UInt64,
    "Percentage": Percentage,
    "Quantity": Quantity,
    "IntOrString": IntOrString,
    "Duration": timedelta,
}


class Schema:
    """All fields of one message class, by the name that YAML uses."""

    __slots__ = ("cls", "fields", "required")

    def __init__(self, cls: type[Message]) -> None:
        self.cls = cls
        by_attribute = (
            FieldSchema(name, str(field.type), cls.__module__)
            for name, field in cls.__dataclass_fields__.items()
        )
        self.fields: dict[str, FieldSchema] = {field.name: field for field in by_attribute}
        self.required = tuple(field for field in self.fields.values() if field.required)

    def find(self, name: str) -> FieldSchema | None:
        """The field that YAML calls `name`, or None."""
        return self.fields.get(name) or self.fields.get(ALSO_SPELLED.get(name, ""))


_SCHEMAS: dict[type[Message], Schema] = {}


def schema_of(cls: type[Message]) -> Schema:
    """The schema of a message class; made once."""
    schema = _SCHEMAS.get(cls)
    if schema is None:
        schema = _SCHEMAS[cls] = Schema(cls)
    return schema


def _field_type(annotation: Any, marks: tuple[Any, ...] = ()) -> FieldType:
    """Take an evaluated annotation apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _field_type(inner, (*marks, *more))
    if origin in (Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not NoneType]
        # `IntOrString | None` is one flat union of three.
        inner = FieldType("scalar", IntOrString) if parts == [int, str] else _field_type(parts[0], marks)
        return dataclasses.replace(inner, nullable=True)
    limits = tuple(mark for mark in marks if isinstance(mark, Length | Pattern | Rule))
    if origin is tuple:
        return FieldType("list", tuple, _field_type(get_args(annotation)[0]), limits=limits)
    if origin is not None:
        return FieldType("map", dict, _field_type(get_args(annotation)[1]), limits=limits)
    return dataclasses.replace(
        _scalar_type(object if annotation is Any else annotation, marks), limits=limits
    )


def _scalar_type(python: Any, marks: tuple[Any, ...]) -> FieldType:
    number_range = next((mark for mark in marks if isinstance(mark, Range)), None)
    one_of = next((mark.values for mark in marks if isinstance(mark, OneOf)), ())
    return FieldType(
        "scalar", python, None, number_range=number_range, one_of=one_of, quantity=QuantityFormat in marks
    )
