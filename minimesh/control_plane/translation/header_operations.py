"""Istio's header operations as Envoy's. `:authority` and `host` are not headers there but a host rewrite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.config.istio import virtual_service as istio


@dataclass(frozen=True, slots=True)
class HeaderOperations:
    """What to do to requests and responses; `authority` is the host to write, empty for none."""

    request_add: list[Any] = field(default_factory=list)
    request_remove: list[str] = field(default_factory=list)
    response_add: list[Any] = field(default_factory=list)
    response_remove: list[str] = field(default_factory=list)
    authority: str = ""

    def apply_to(self, message: Any) -> None:
        """Append to a Route or a ClusterWeight, which have the same four fields."""
        message.request_headers_to_add.extend(self.request_add)
        message.request_headers_to_remove.extend(self.request_remove)
        message.response_headers_to_add.extend(self.response_add)
        message.response_headers_to_remove.extend(self.response_remove)


def header_operations(headers: istio.Headers | None) -> HeaderOperations:
    """Translate `Headers` (request and response, each with set, add, remove); None gives no operations."""
    if headers is None:
        return HeaderOperations()
    request, response = headers.request, headers.response
    authority = ""
    if request is not None:
        authority = _authority(request.set) or _authority(request.add)
    return HeaderOperations(
        request_add=_additions(request),
        request_remove=_removals(request),
        response_add=_additions(response),
        response_remove=_removals(response),
        authority=authority,
    )


def _additions(operations: istio.HeaderOperations | None) -> list[Any]:
    if operations is None:
        return []
    option = m.base_pb2.HeaderValueOption
    return [
        *_options(operations.set, option.OVERWRITE_IF_EXISTS_OR_ADD),
        *_options(operations.add, option.APPEND_IF_EXISTS_OR_ADD),
    ]


def _options(headers: Mapping[str, str], append_action: int) -> Iterable[Any]:
    for key, value in sorted(headers.items()):
        if not _is_internal(key):
            yield m.base_pb2.HeaderValueOption(
                header=m.base_pb2.HeaderValue(key=key, value=value), append_action=append_action
            )


def _removals(operations: istio.HeaderOperations | None) -> list[str]:
    return [key for key in operations.remove if not _is_internal(key)] if operations is not None else []


def _is_internal(key: str) -> bool:
    return key.startswith(":") or key.lower() == "host"


def _authority(headers: Mapping[str, str]) -> str:
    return next((v for k, v in sorted(headers.items()) if k.lower() in (":authority", "host")), "")
