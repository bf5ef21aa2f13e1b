"""What is in the body of a request: JSON, YAML, or protobuf, of bounded depth and size once it is read."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from aiohttp import web

from minimesh.config.decoding import composed
from minimesh.config.diagnostics import Diagnostic
from minimesh.config.yaml_nodes import MAX_DEPTH, MAX_NODES, is_beyond_limits, plain
from minimesh.kubernetes.api_errors import bad_request
from minimesh.kubernetes.nesting import refuse_deep
from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.protobuf import MEDIA_TYPE, decode_object


async def read_object(request: web.Request, *, required: bool = True) -> Object:
    """The object that was sent; an empty one for no body, where none is `required`. ApiError (400) else."""
    data = await request.read()
    if not data and not required:
        return {}
    if request.content_type == MEDIA_TYPE:
        return decode_object(data)
    found = read_yaml(data) if request.content_type == "application/yaml" else read_json(data)
    if not isinstance(found, dict):
        raise bad_request("the body of the request is no object")
    return found


def read_json(data: bytes) -> Any:
    """The JSON value of a body. ApiError (400) for what is none, or is nested too deep."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body of the request cannot be read: {error}") from error
    refuse_deep(found)
    return found


def read_yaml(data: bytes) -> Any:
    """The value of the first document of a body; JSON is YAML too. ApiError (400) as for JSON."""
    if data.lstrip().startswith(b"{"):
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(data)
            refuse_deep(found)
            return found
    diagnostics: list[Diagnostic] = []
    text = data.decode(errors="replace")
    node = next((each for each, _ in composed(text, "", diagnostics)), None)
    if diagnostics:
        raise bad_request(f"error decoding YAML: {diagnostics[0].message}")
    if node is None:
        return None
    if is_beyond_limits(node):
        limits = f"{MAX_DEPTH} levels deep or {MAX_NODES} values, aliases counted each time they are used"
        raise bad_request(f"error decoding YAML: it is more than {limits}")
    return plain(node)
