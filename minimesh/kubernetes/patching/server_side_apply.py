"""Server-side apply: a manager says what it wants of an object, and the server merges that with the rest."""

from __future__ import annotations

import json

from minimesh.kubernetes.api_errors import ApiError, bad_request
from minimesh.kubernetes.bodies import read_yaml
from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.patching.field_paths import path_text
from minimesh.kubernetes.patching.managed_fields import (
    APPLY,
    LAST_APPLIED,
    ApplyConflictError,
    Manager,
    Managers,
    applied,
    before_first_apply,
    read_managers,
)
from minimesh.kubernetes.patching.structured_merge import Schema
from minimesh.kubernetes.registry import Registry, WriteOptions, Written, key_of
from minimesh.kubernetes.request_info import RequestInfo
from minimesh.kubernetes.schemas.strict_fields import unknown_fields


def server_side_apply(registry: Registry, info: RequestInfo, body: bytes, options: WriteOptions) -> Written:
    """Create the object or change what its manager wants changed. ApiError (409) for conflicts."""
    config = _configuration(info, body)
    schema = registry.schemas.of(info.type, info.version)
    _refuse_unknown(info, config, schema)
    live = _live(registry, info)
    own = info.type.api_version(info.version)
    manager = Manager(options.manager, APPLY, own, info.subresource)
    managers = _managers(registry, info, live, schema)
    start = {"apiVersion": own, "kind": info.type.kind} if live is None else live
    found, managers = _applied(registry, start, config, managers, manager, schema, options)
    if live is None:
        return registry.create(info, found, options, managers)
    _renew_last_applied(found, config, options.manager)
    return registry.replace(info, found, options, managers)


def _applied(
    registry: Registry,
    live: Object,
    config: Object,
    managers: Managers,
    manager: Manager,
    schema: Schema,
    options: WriteOptions,
) -> tuple[Object, Managers]:
    try:
        return applied(live, config, managers, manager, schema, registry.now(), force=options.force)
    except ApplyConflictError as error:
        raise _conflict(error) from error


def _conflict(error: ApplyConflictError) -> ApiError:
    """A server-side apply of fields that others manage."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {each.manager.text()}",
            "field": path_text(each.path),
        }
        for each in error.conflicts
    ]
    return ApiError(409, "Conflict", str(error), {"causes": causes})


def _configuration(info: RequestInfo, body: bytes) -> Object:
    """The object in the body, with the name of the path. ApiError (400) for what cannot be applied."""
    found = read_yaml(body)
    if not isinstance(found, dict):
        raise bad_request("the body of the request is no object")
    metadata = found.get("metadata")
    if not isinstance(metadata, dict):
        metadata = found["metadata"] = {}
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    expected = info.type.api_version(info.version)
    if found.get("apiVersion") != expected or found.get("kind") != info.type.kind:
        raise bad_request(
            f"the object provided is {found.get('apiVersion')}, Kind={found.get('kind')}; "
            f"the path is that of {expected}, Kind={info.type.kind}"
        )
    return found


def _refuse_unknown(info: RequestInfo, config: Object, schema: Schema) -> None:
    unknown = [f".{path}: field not declared in schema" for path in unknown_fields(config, schema)]
    if not unknown:
        return
    name = f"{info.namespace}/{info.name}; {info.type.api_version(info.version)}, Kind={info.type.kind}"
    several = "errors:\n" + "\n".join(f"  {each}" for each in unknown)
    listed = unknown[0] if len(unknown) == 1 else several
    raise ApiError(500, "", f"failed to create typed patch object ({name}): {listed}")


def _live(registry: Registry, info: RequestInfo) -> Object | None:
    if registry.store.snapshot().get(key_of(info)) is None:
        return None
    return registry.get(info)


def _managers(registry: Registry, info: RequestInfo, live: Object | None, schema: Schema) -> Managers:
    if live is None:
        return {}
    known = read_managers(live["metadata"].get("managedFields"))
    if known:
        return known
    return before_first_apply(live, schema, info.type.api_version(info.version), registry.now())


def _renew_last_applied(found: Object, config: Object, manager: str) -> None:
    """kubectl's own note for its client-side apply goes on saying what was applied last."""
    annotations = found["metadata"].get("annotations") or {}
    if manager == "kubectl" and LAST_APPLIED in annotations:
        text = json.dumps(config, separators=(",", ":"), ensure_ascii=False) + "\n"
        found["metadata"]["annotations"] = {**annotations, LAST_APPLIED: text}
