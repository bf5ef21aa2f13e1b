"""Acts on the store as an API server does: create, read, replace, patch, with versions and preconditions.

Deletion is in `deletion`. Everything happens inside the call; nothing here does I/O but the store's recorder.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Change, Snapshot, Store
from minimesh.config.timestamps import timestamp
from minimesh.kubernetes import api_errors
from minimesh.kubernetes.admission import FieldValidation, admitted, decoded
from minimesh.kubernetes.api_errors import bad_request
from minimesh.kubernetes.controllers import injector
from minimesh.kubernetes.controllers.names import random_suffix
from minimesh.kubernetes.controllers.service_addresses import ServiceAddresses
from minimesh.kubernetes.defaults import set_defaults
from minimesh.kubernetes.nesting import refuse_deep
from minimesh.kubernetes.objects import Object, to_object, to_resource
from minimesh.kubernetes.patching.managed_fields import (
    UPDATE,
    Manager,
    Managers,
    read_managers,
    updated,
    written_managers,
)
from minimesh.kubernetes.request_info import RequestInfo
from minimesh.kubernetes.resource_types import CRD_KIND, ResourceType, ResourceTypes
from minimesh.kubernetes.schemas.of_types import TypeSchemas
from minimesh.kubernetes.selectors import Predicate

_SERVER_METADATA = ("uid", "resourceVersion", "generation", "creationTimestamp", "selfLink")
_DELETION = ("deletionTimestamp", "deletionGracePeriodSeconds")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What the query string says about a write."""

    validation: FieldValidation = FieldValidation.WARN
    dry_run: bool = False
    manager: str = "unknown"
    force: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write: the object as stored, and what the client should be warned of."""

    object: Object
    warnings: Sequence[str] = ()
    created: bool = False


class Registry:
    """The objects of one store, by what requests say."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        addresses: ServiceAddresses | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self._addresses = addresses or ServiceAddresses()
        self.schemas = TypeSchemas(store)
        self._types: ResourceTypes | None = None
        store.watch(self._store_changed)

    @property
    def types(self) -> ResourceTypes:
        """What is served now."""
        if self._types is None:
            self._types = ResourceTypes.of(self.store.snapshot())
        return self._types

    @property
    def resource_version(self) -> str:
        """The version of everything."""
        return str(self.store.snapshot().version)

    def now(self) -> str:
        """The present, as objects carry it."""
        return timestamp(self.clock())

    # -- Reading

    def get(self, info: RequestInfo) -> Object:
        """One object. ApiError (404) when there is none."""
        return to_object(self.stored(info), info.type, info.version)

    def list(self, info: RequestInfo, matches: Predicate, snapshot: Snapshot | None = None) -> list[Object]:
        """The objects of a collection that match, by namespace and name; now, or in a snapshot."""
        found = (snapshot or self.store.snapshot()).by_kind(info.type.store_kind)
        if info.namespace:
            found = tuple(each for each in found if each.namespace == info.namespace)
        shown = (to_object(each, info.type, info.version) for each in found)
        return [each for each in shown if matches(each)]

    def stored(self, info: RequestInfo) -> Resource:
        """The resource that a request names. ApiError (404) when there is none."""
        found = self.store.snapshot().get(key_of(info))
        if found is None:
            raise api_errors.not_found(info.type, info.name)
        return found

    # -- Writing

    def create(
        self, info: RequestInfo, given: Object, options: WriteOptions, managers: Managers | None = None
    ) -> Written:
        """Store a new object. `managers` says who manages its fields, where an apply has found that out."""
        schema = self.schemas.of(info.type, info.version)
        given, warnings = decoded(given, info.type, info.version, options.validation, schema)
        given = self._addressed(info, given)
        metadata = given["metadata"]
        if metadata.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + random_suffix(os.urandom(5))
        if not metadata.get("name"):
            raise _nameless(info.type)
        for name in (*_SERVER_METADATA, *_DELETION, "managedFields"):
            metadata.pop(name, None)
        if "status" in info.type.subresources:
            given.pop("status", None)
        self._refuse_namespace(info, metadata["name"])
        key = ResourceKey(info.type.store_kind, info.namespace, metadata["name"])
        if self.store.snapshot().get(key) is not None:
            raise api_errors.already_exists(info.type, metadata["name"])
        return self._write(info, given, options, warnings, managers=managers)

    def replace(
        self,
        info: RequestInfo,
        given: Object,
        options: WriteOptions,
        managers: Managers | None = None,
    ) -> Written:
        """Put an object in place of the stored one, whose version it must name if it names any.

        `managers` says who manages its fields, where an apply has found that out.
        """
        schema = self.schemas.of(info.type, info.version)
        given, warnings = decoded(given, info.type, info.version, options.validation, schema)
        given = self._addressed(info, given)
        old = self.get(info)
        metadata, before = given["metadata"], old["metadata"]
        version = metadata.get("resourceVersion")
        if version and version != before["resourceVersion"]:
            raise api_errors.conflict(info.type, info.name)
        if metadata.get("uid") and metadata["uid"] != before["uid"]:
            raise api_errors.conflict(info.type, info.name)
        for name in (*_SERVER_METADATA, *_DELETION):
            metadata.pop(name, None)
            if name in before:
                metadata[name] = before[name]
        if "status" in info.type.subresources:
            given.pop("status", None)
            if "status" in old:
                given["status"] = old["status"]
        _refuse_change(info.type, info.name, old, given)
        return self._write(info, given, options, warnings, old, managers)

    def replace_status(self, info: RequestInfo, given: Object, options: WriteOptions) -> Written:
        """Put the status of an object in place of the stored one's; nothing else of it counts."""
        old = self.get(info)
        changed = copy.deepcopy(old)
        changed["status"] = given.get("status") or {}
        refuse_deep(changed)
        self._manage(info, old, changed, options, None)
        resource, _ = to_resource(changed, info.type)
        if resource is None:
            raise bad_request("the status cannot be read")
        stored = resource if options.dry_run else self.store.put(resource)
        return Written(to_object(stored, info.type, info.version))

    def put(self, resource: Resource) -> Resource:
        """Store what is already known to be right, to be kept over restarts."""
        return self.store.put(resource, durable=True)

    def _write(
        self,
        info: RequestInfo,
        given: Object,
        options: WriteOptions,
        warnings: Sequence[str],
        old: Object | None = None,
        managers: Managers | None = None,
    ) -> Written:
        schema = self.schemas.of(info.type, info.version)
        set_defaults(given, info.type, self.now(), schema)
        self._manage(info, old, given, options, managers)
        resource, more = admitted(given, info.type, info.version, options.validation, schema)
        warnings = (*warnings, *(each for each in more if each not in warnings))
        resource = self._completed(info, resource, is_new=old is None)
        stored = self.store.as_put(resource) if options.dry_run else self.put(resource)
        return Written(to_object(stored, info.type, info.version), warnings, created=old is None)

    def _manage(
        self,
        info: RequestInfo,
        old: Object | None,
        given: Object,
        options: WriteOptions,
        managers: Managers | None,
    ) -> None:
        """Write down in the object who manages its fields; unless told, whoever changes one does."""
        metadata = given["metadata"]
        sent = metadata.pop("managedFields", None)
        if managers is None:
            known = (old or {}).get("metadata", {}).get("managedFields")
            if sent == [{}] or (old is not None and not known and not sent):
                return  # reset by its writer, or never managed since it was made
            own = info.type.api_version(info.version)
            manager = Manager(options.manager, UPDATE, own, info.subresource)
            schema = self.schemas.of(info.type, info.version)
            before = copy.deepcopy(_NEWBORN.get(info.type.kind, {})) if old is None else old
            base = read_managers(known if info.subresource else sent or known)
            managers = updated(before, given, base, manager, schema, self.now())
        metadata["managedFields"] = written_managers(managers)

    def _completed(self, info: RequestInfo, resource: Resource, *, is_new: bool) -> Resource:
        """The resource with what the server gives: sidecars, addresses. ApiError (422) when it has none."""
        snapshot = self.store.snapshot()
        if resource.kind == "Pod" and is_new:
            return injector.admitted(resource, snapshot)
        if resource.kind != "Service":
            return resource
        before = None if is_new else snapshot.get(resource.key)
        services = snapshot.by_kind("Service")
        if before is not None:
            resource = self._addresses.kept(resource, before)
        causes = self._addresses.refusals(resource, services, before)
        if causes:
            raise api_errors.invalid(info.type, resource.name, causes)
        return self._addresses.assigned(resource, services)

    def _addressed(self, info: RequestInfo, given: Object) -> Object:
        """A copy of the object that agrees with the path. ApiError (400) when it says something else."""
        refuse_deep(given)  # a patch may have put one object into another
        found = copy.deepcopy(given)
        expected = info.type.api_version(info.version)
        if found.setdefault("apiVersion", expected) != expected:
            raise bad_request(
                f"the API version in the data ({found['apiVersion']}) does not match the expected "
                f"API version ({expected})"
            )
        if found.setdefault("kind", info.type.kind) != info.type.kind:
            raise bad_request(f"the kind in the data ({found['kind']}) is not {info.type.kind}")
        metadata = found.get("metadata")
        if not isinstance(metadata, dict):
            metadata = found["metadata"] = {}
        if info.type.namespaced and metadata.setdefault("namespace", info.namespace) != info.namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if not info.type.namespaced:
            metadata.pop("namespace", None)
        if info.name and metadata.setdefault("name", info.name) != info.name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL "
                f"({info.name})"
            )
        return found

    def _refuse_namespace(self, info: RequestInfo, name: str) -> None:
        """Nothing is made in a namespace that is not there, or that goes away."""
        if not info.type.namespaced:
            return
        namespace_type = self.types.at("", "v1", "namespaces")
        assert namespace_type is not None
        found = self.store.snapshot().get(ResourceKey("Namespace", "", info.namespace))
        if found is None:
            raise api_errors.not_found(namespace_type, info.namespace)
        if found.metadata.deletion_timestamp:
            why = f"unable to create new content in namespace {info.namespace} because it is being terminated"
            raise api_errors.forbidden(info.type, name, why)

    def _store_changed(self, changes: Sequence[Change]) -> None:
        if any(each.resource.kind == CRD_KIND for each in changes):
            self._types = None


def key_of(info: RequestInfo) -> ResourceKey:
    """The key of the object that a request names."""
    return ResourceKey(info.type.store_kind, info.namespace, info.name)


def _nameless(type_: ResourceType) -> api_errors.ApiError:
    message = "Required value: name or generateName is required"
    return api_errors.invalid(
        type_, "", [{"reason": "FieldValueRequired", "message": message, "field": "metadata.name"}]
    )


_TEMPLATED: Object = {"spec": {"template": {"metadata": {}, "spec": {"containers": []}}}}
_NEWBORN: Mapping[str, Object] = {
    "Deployment": {"spec": {**_TEMPLATED["spec"], "strategy": {}}},
    "ReplicaSet": _TEMPLATED,
    "Pod": {"spec": {"containers": []}},
    **{kind: {"spec": {}} for kind in ("Namespace", "Node", "Service", "Ingress", "IngressClass")},
}
"""What an object holds before anything is said: these fields are there, so that nobody adds them."""


_IMMUTABLE: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("spec.selector",),
    "ReplicaSet": ("spec.selector",),
    "Secret": ("type",),
}


def _refuse_change(type_: ResourceType, name: str, old: Object, new: Object) -> None:
    causes = [
        {"reason": "FieldValueInvalid", "message": "Invalid value: field is immutable", "field": path}
        for path in (_IMMUTABLE.get(type_.kind, ()) if not type_.custom else ())
        if _at(old, path) != _at(new, path)
    ]
    if type_.kind == "Pod" and _container_names(old) != _container_names(new):
        message = "Forbidden: pod updates may not add or remove containers"
        causes.append({"reason": "FieldValueForbidden", "message": message, "field": "spec.containers"})
    if causes:
        raise api_errors.invalid(type_, name, causes)


def _container_names(pod: Object) -> list[str]:
    return [each.get("name", "") for each in pod.get("spec", {}).get("containers") or ()]


def _at(shown: Object, path: str) -> Any:
    value: Any = shown
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
