"""References from one object to another."""

from __future__ import annotations

from minimesh.config.schema import Message, Req, message


@message
class LocalObjectReference(Message):
    """Names an object in the same namespace."""

    name: str = ""


@message
class ObjectReference(Message):
    """Points at an object anywhere."""

    api_version: str = ""
    field_path: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    uid: str = ""


@message
class TypedLocalObjectReference(Message):
    """Names an object of some kind in the same namespace."""

    api_group: str = ""
    kind: Req[str] = ""
    name: Req[str] = ""


@message
class TypedObjectReference(Message):
    """Names an object of some kind, in this namespace or another."""

    api_group: str = ""
    kind: Req[str] = ""
    name: Req[str] = ""
    namespace: str = ""
