"""The object in the body of a request: JSON, YAML, or protobuf."""

from __future__ import annotations

import json

import yaml
from aiohttp import web

from minimesh.kubernetes.api_errors import bad_request
from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.protobuf import MEDIA_TYPE, decode_object


async def read_object(request: web.Request, *, required: bool = True) -> Object:
    """The object that was sent; an empty one for no body, where none is `required`. ApiError (400) else."""
    data = await request.read()
    if not data and not required:
        return {}
    if request.content_type == MEDIA_TYPE:
        return decode_object(data)
    try:
        found = yaml.safe_load(data) if request.content_type == "application/yaml" else json.loads(data)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the body of the request cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise bad_request("the body of the request is no object")
    return found
