"""ReferenceGrant: which objects of other namespaces may refer to objects of its own."""

from __future__ import annotations

from typing import Annotated

from minimesh.config.gateway_api.references import Group, KindName, NamespaceName, ObjectName
from minimesh.config.schema import Length, Message, Req, message


@message
class ReferenceGrantFrom(Message):
    """A kind of objects of one namespace, which may refer."""

    group: Group | None = None
    kind: Req[KindName] = ""
    namespace: Req[NamespaceName] = ""


@message
class ReferenceGrantTo(Message):
    """What may be referred to: a kind, or one object of it."""

    group: Group | None = None
    kind: Req[KindName] = ""
    name: ObjectName | None = None


@message
class ReferenceGrant(Message):
    """Every `from` may refer to every `to`."""

    from_: Req[Annotated[tuple[ReferenceGrantFrom, ...], Length(1, 16)]] = ()
    to: Req[Annotated[tuple[ReferenceGrantTo, ...], Length(1, 16)]] = ()
