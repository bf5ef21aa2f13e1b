"""Answers as HTTP: JSON bodies, `Status` objects, warnings; and what the query string says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from minimesh.kubernetes.admission import FieldValidation
from minimesh.kubernetes.api_errors import ApiError, bad_request
from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.registry import WriteOptions
from minimesh.kubernetes.request_info import RequestInfo
from minimesh.kubernetes.selectors import Predicate, field_selector, label_selector, value_at

MAX_BODY_BYTES = 3 * 1024 * 1024
"""The API server's own limit."""


def answer(
    content: Any, *, status: int = 200, warnings: Sequence[str] = (), content_type: str = "application/json"
) -> web.Response:
    """A JSON answer, with a Warning header for each thing that the client should be told."""
    response = web.Response(body=compact(content) + b"\n", status=status)
    response.headers["Content-Type"] = content_type
    for each in warnings:
        text = each.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{text}"')
    return response


def refused(error: ApiError) -> web.Response:
    """The `Status` of a refusal."""
    return answer(error.status(), status=error.code)


def compact(content: Any) -> bytes:
    """JSON in one line."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def write_options(query: Mapping[str, str], user_agent: str = "") -> WriteOptions:
    """What the query string says about a write; who writes is its field manager, or else its program."""
    asked = query.get("fieldValidation", "") or FieldValidation.WARN
    try:
        validation = FieldValidation(asked)
    except ValueError as error:
        raise bad_request(f"invalid fieldValidation: {asked}") from error
    return WriteOptions(
        validation,
        dry_run=query.get("dryRun", "") == "All",
        manager=query.get("fieldManager") or user_agent.partition("/")[0] or "unknown",
        force=query.get("force") == "true",
    )


def selection(query: Mapping[str, str], info: RequestInfo) -> Predicate:
    """What the label and field selectors of the query string, and a name in the path, leave over."""
    labels = label_selector(query.get("labelSelector", ""))
    fields = field_selector(query.get("fieldSelector", ""), info.type)
    name = info.name

    def matches(shown: Mapping[str, Any]) -> bool:
        if name and shown["metadata"].get("name") != name:
            return False
        return labels(value_at(shown, "metadata.labels") or {}) and fields(shown)

    return matches


def deprecation(info: RequestInfo) -> Sequence[str]:
    """What the API server warns of who reads this kind."""
    text = _DEPRECATED.get(info.type.kind) if not info.type.custom else None
    return (text,) if text else ()


_DEPRECATED = {
    "ComponentStatus": "v1 ComponentStatus is deprecated in v1.19+",
    "Endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}


def partial_metadata(shown: Object) -> Object:
    """An object's metadata alone, for clients that ask for no more."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": shown["metadata"],
    }
