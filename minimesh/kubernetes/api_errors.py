"""Refusals in the API server's words: each becomes a `Status` object with code, reason and details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minimesh.kubernetes.resource_types import ResourceType


class ApiError(Exception):
    """A request that is refused. `code` is the HTTP status, `reason` the word that clients act upon."""

    def __init__(
        self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details or {}

    def status(self) -> dict[str, Any]:
        """The `Status` object of the answer."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            # Be they empty: `kubectl debug` reads them unasked.
            "details": dict(self.details),
            "code": self.code,
        }


def success(type_: ResourceType, name: str, uid: str) -> dict[str, Any]:
    """The answer to a deletion that is done."""
    details = {"name": name, **({"group": type_.group} if type_.group else {}), "kind": type_.plural}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {**details, "uid": uid},
    }


def not_found(type_: ResourceType, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{type_.qualified_plural} "{name}" not found', _details(type_, name))


def no_such_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def not_served(name: str) -> ApiError:
    """For a type that every cluster has and this one has not."""
    message = f"the server could not find the requested resource: minimesh serves no {name}"
    return ApiError(404, "NotFound", message)


def already_exists(type_: ResourceType, name: str) -> ApiError:
    message = f'{type_.qualified_plural} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(type_, name))


def conflict(type_: ResourceType, name: str) -> ApiError:
    message = (
        f'Operation cannot be fulfilled on {type_.qualified_plural} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return ApiError(409, "Conflict", message, _details(type_, name))


def invalid(type_: ResourceType, name: str, causes: Sequence[Mapping[str, str]]) -> ApiError:
    """What the object says is wrong. Each cause has `reason`, `message` and `field`."""
    texts = [f"{each['field']}: {each['message']}" if each["field"] else each["message"] for each in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = {**_details(type_, name, type_.kind), "causes": [dict(each) for each in causes]}
    return ApiError(422, "Invalid", f'{type_.qualified_kind} "{name}" is invalid: {listed}', details)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def forbidden(type_: ResourceType, name: str, why: str) -> ApiError:
    message = f'{type_.qualified_plural} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, _details(type_, name))


def method_not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message)


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        f"{', '.join(accepted)}"
    )
    return ApiError(415, "UnsupportedMediaType", message)


def too_large(limit_bytes: int) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit_bytes}")


def expired(message: str) -> ApiError:
    """The client's resource version is older than what is remembered; it has to list again."""
    return ApiError(410, "Expired", message)


def _details(type_: ResourceType, name: str, kind: str = "") -> dict[str, Any]:
    group = {"group": type_.group} if type_.group else {}
    return {"name": name, **group, "kind": kind or type_.plural}
