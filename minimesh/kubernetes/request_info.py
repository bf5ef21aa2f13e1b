"""What a request's path means: type, namespace, name and subresource. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from minimesh.kubernetes.api_errors import no_such_path
from minimesh.kubernetes.resource_types import ResourceType, ResourceTypes


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """One place of the API. `name` is empty for a collection, `namespace` for all of them or none."""

    type: ResourceType
    version: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def request_info(parts: list[str], types: ResourceTypes) -> RequestInfo:
    """Read the parts of a path below the secret prefix, such as `api/v1/namespaces/default/pods/x/log`.

    ApiError (404) when it names nothing that is served.
    """
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise no_such_path()
    namespace = ""
    # `namespaces/x` and `namespaces/x/status` are about the namespace, `namespaces/x/pods` about its pods.
    if rest[0] == "namespaces" and len(rest) >= 3 and not _is_about_namespace(group, rest):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    type_ = types.at(group, version, plural)
    if type_ is None or len(rest) > 3 or (namespace and not type_.namespaced):
        raise no_such_path()
    if subresource and subresource not in type_.subresources:
        raise no_such_path()
    return RequestInfo(type_, version, namespace, name, subresource)


def _is_about_namespace(group: str, rest: list[str]) -> bool:
    return not group and len(rest) == 3 and rest[2] in ("status", "finalize")
