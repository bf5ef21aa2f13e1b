"""PATCH: from a body and its media type to a changed object, and the scale subresource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minimesh.kubernetes import api_errors
from minimesh.kubernetes.api_errors import bad_request
from minimesh.kubernetes.bodies import read_json
from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.patching.json_patches import PatchError, json_patch, merge_patch
from minimesh.kubernetes.patching.server_side_apply import server_side_apply
from minimesh.kubernetes.patching.strategic_merge import strategic_merge
from minimesh.kubernetes.registry import Registry, WriteOptions, Written
from minimesh.kubernetes.request_info import RequestInfo
from minimesh.kubernetes.schemas.published import schema_of_kind

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def patch(
    registry: Registry, info: RequestInfo, media_type: str, body: bytes, options: WriteOptions
) -> Written:
    """Change the object that the request names, or its status, or its scale."""
    if media_type == APPLY_PATCH and not info.subresource:
        return server_side_apply(registry, info, body, options)
    if options.force:
        why = "force: Forbidden: may not be specified for non-apply patch"
        raise bad_request(f'PatchOptions.meta.k8s.io "" is invalid: {why}')
    if info.subresource == "scale":
        changed = patched(info, scale(registry, info), media_type, body)
        return set_scale(registry, info, changed, options)
    before = registry.get(info)
    changed = patched(info, before, media_type, body)
    if info.subresource == "status":
        return registry.replace_status(info, changed, options)
    return registry.replace(info, changed, options)


def patched(info: RequestInfo, target: Object, media_type: str, body: bytes) -> Object:
    """The object with the patch applied. ApiError for a media type that the kind does not take."""
    schema = schema_of_kind(info.type.group, info.version, info.type.kind)
    strategic = [STRATEGIC_MERGE_PATCH] if schema is not None else []
    applied = [APPLY_PATCH] if not info.subresource else []
    accepted = [JSON_PATCH, MERGE_PATCH, *applied, *strategic]
    if media_type not in accepted:
        raise api_errors.unsupported_media_type(accepted)
    content = read_json(body)
    try:
        if media_type == JSON_PATCH:
            found = json_patch(target, content)
        elif media_type == MERGE_PATCH:
            found = merge_patch(target, content)
        else:
            found = strategic_merge(target, content, schema or {})
    except (PatchError, TypeError, AttributeError) as error:
        raise api_errors.ApiError(
            422, "Invalid", f"the server rejected our request due to an error in our request: {error}"
        ) from error
    if not isinstance(found, dict):
        raise bad_request("the patch leaves no object")
    return found


def scale(registry: Registry, info: RequestInfo) -> Object:
    """The `Scale` of a Deployment or ReplicaSet."""
    shown = registry.get(info)
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels: Mapping[str, Any] = (shown["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: shown["metadata"][key] for key in kept if key in shown["metadata"]},
        "spec": {"replicas": shown["spec"].get("replicas", 1)},
        "status": {
            "replicas": shown.get("status", {}).get("replicas") or 0,
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def set_scale(registry: Registry, info: RequestInfo, given: Object, options: WriteOptions) -> Written:
    """Set the number of replicas that a `Scale` asks for."""
    replicas = (given.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        cause = {"reason": "FieldValueInvalid", "message": message, "field": "spec.replicas"}
        raise api_errors.invalid(info.type, info.name, [cause])
    shown = registry.get(info)
    version = (given.get("metadata") or {}).get("resourceVersion")
    if version and version != shown["metadata"]["resourceVersion"]:
        raise api_errors.conflict(info.type, info.name)
    shown["spec"] = {**shown["spec"], "replicas": replicas}
    written = registry.replace(info, shown, options)
    answer = scale(registry, info)
    answer["spec"]["replicas"] = replicas
    return Written(answer, written.warnings)
