"""Requests about objects: verbs, lists and tables, watches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aiohttp import web

from minimesh.config.decimals import decimal
from minimesh.config.resources import ResourceKey
from minimesh.config.store import ChangeType
from minimesh.kubernetes import api_errors
from minimesh.kubernetes.answers import (
    answer,
    compact,
    deprecation,
    partial_metadata,
    selection,
    write_options,
)
from minimesh.kubernetes.api_errors import ApiError
from minimesh.kubernetes.bodies import read_object
from minimesh.kubernetes.deletion import delete, finish
from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.pages import Pages, list_options
from minimesh.kubernetes.patching.requests import patch, scale, set_scale
from minimesh.kubernetes.registry import Registry, WriteOptions, Written
from minimesh.kubernetes.request_info import RequestInfo
from minimesh.kubernetes.selectors import Predicate
from minimesh.kubernetes.tables.tables import table, wants_table
from minimesh.kubernetes.watch import WatchCache, version_of

_BOOKMARK = "BOOKMARK"
BOOKMARK_INTERVAL_S = 60.0
LONGEST_WATCH_S = 86400.0
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class ObjectsApi:
    """Answers requests about objects from the registry and the watch cache."""

    def __init__(self, registry: Registry, watches: WatchCache) -> None:
        self._registry = registry
        self._watches = watches
        self._pages = Pages(registry.store)

    async def serve(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        """One request. ApiError when it is refused."""
        query = request.query
        if request.method == "GET":
            if query.get("watch") in ("true", "1"):
                return await self._watch(request, info)
            return self._get(request, info) if info.name else self._list(request, info)
        if not info.type.can_be_written and request.method != "DELETE":
            raise api_errors.not_served(info.type.qualified_plural)
        if info.subresource == "eviction":
            return await self._evict(request, replace(info, subresource=""))
        if request.method == "POST" and not info.name:
            return self._written(
                request, info, self._registry.create(info, await read_object(request), _options(request))
            )
        if request.method == "PUT" and info.name:
            return self._put(request, info, await read_object(request))
        if request.method == "PATCH" and info.name:
            body = await request.read()
            written = patch(self._registry, info, request.content_type, body, _options(request))
            return self._written(request, info, written)
        if request.method == "DELETE":
            return self._delete(request, info, await read_object(request, required=False))
        raise api_errors.method_not_allowed()

    # -- Reading

    def _get(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        if info.subresource == "scale":
            return answer(scale(self._registry, info))
        return self._shown(request, info, self._registry.get(info), warnings=deprecation(info))

    def _list(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        options = list_options(request.query)
        snapshot = self._pages.snapshot(options)
        everything = self._registry.list(info, selection(request.query, info), snapshot)
        found, metadata = self._pages.cut(everything, options, snapshot)
        warnings = deprecation(info)
        if wants_table(request.headers.get("Accept", "")):
            return answer(self._table(request, info, found, metadata), warnings=warnings)
        kind, api_version = f"{info.type.kind}List", info.type.api_version(info.version)
        if _wants_metadata(request):
            kind, api_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
            found = [partial_metadata(each) for each in found]
        content = {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": found}
        return answer(content, warnings=warnings)

    def _shown(
        self,
        request: web.Request,
        info: RequestInfo,
        shown: Object,
        status: int = 200,
        warnings: Sequence[str] = (),
    ) -> web.StreamResponse:
        if wants_table(request.headers.get("Accept", "")):
            metadata = {"resourceVersion": shown["metadata"].get("resourceVersion", "")}
            shown = self._table(request, info, [shown], metadata)
        elif _wants_metadata(request):
            shown = partial_metadata(shown)
        return answer(shown, status=status, warnings=warnings)

    def _table(
        self, request: web.Request, info: RequestInfo, found: Sequence[Object], metadata: dict[str, Any]
    ) -> Object:
        include = request.query.get("includeObject", "Metadata")
        return table(info.type, found, self._registry.clock(), metadata=metadata, include=include)

    # -- Watching

    async def _watch(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        """Events as lines of JSON, until the client goes or its time is over."""
        query = request.query
        matches = selection(query, info)
        start = self._registry.resource_version
        since = version_of(query.get("resourceVersion", ""))
        limit_s = _time_limit(query.get("timeoutSeconds", ""))
        initial = query.get("sendInitialEvents") == "true" or not since
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            if initial:
                for each in self._registry.list(info, matches):
                    await self._send(response, request, info, ChangeType.ADDED, each)
                if query.get("sendInitialEvents") == "true":
                    await response.write(compact(_bookmark(info, start, initial=True)) + b"\n")
            await self._follow(response, request, info, matches, int(start) if initial else since, limit_s)
        except ApiError as error:
            await response.write(compact({"type": "ERROR", "object": error.status()}) + b"\n")
        except ConnectionResetError:
            pass
        return response

    async def _follow(
        self,
        response: web.StreamResponse,
        request: web.Request,
        info: RequestInfo,
        matches: Predicate,
        since: int,
        limit_s: float | None,
    ) -> None:
        """Send what happens after a version, with bookmarks where the client takes them."""
        wants_bookmarks = request.query.get("allowWatchBookmarks") in ("true", "1")
        pause_s = BOOKMARK_INTERVAL_S if wants_bookmarks else None
        try:
            async with asyncio.timeout(limit_s):
                async for event in self._watches.follow(info, matches, since, pause_s):
                    if event is None:
                        await self._send_bookmark(response, info)
                    else:
                        await self._send(response, request, info, *event)
        except TimeoutError:
            if wants_bookmarks:
                await self._send_bookmark(response, info)

    async def _send_bookmark(self, response: web.StreamResponse, info: RequestInfo) -> None:
        await response.write(compact(_bookmark(info, self._registry.resource_version)) + b"\n")

    async def _send(
        self,
        response: web.StreamResponse,
        request: web.Request,
        info: RequestInfo,
        type_: ChangeType,
        shown: Object,
    ) -> None:
        if wants_table(request.headers.get("Accept", "")):
            metadata = {"resourceVersion": shown["metadata"].get("resourceVersion", "")}
            shown = self._table(request, info, [shown], metadata)
        elif _wants_metadata(request):
            shown = partial_metadata(shown)
        await response.write(compact({"type": type_.value, "object": shown}) + b"\n")

    # -- Writing

    def _put(self, request: web.Request, info: RequestInfo, given: Object) -> web.StreamResponse:
        options = _options(request)
        if info.subresource == "scale":
            return answer(set_scale(self._registry, info, given, options).object)
        if info.subresource == "status":
            return answer(self._registry.replace_status(info, given, options).object)
        return self._written(request, info, self._registry.replace(info, given, options))

    def _written(self, request: web.Request, info: RequestInfo, written: Written) -> web.StreamResponse:
        if not info.subresource:
            metadata = written.object["metadata"]
            key = ResourceKey(info.type.store_kind, info.namespace, metadata["name"])
            finish(self._registry, written.object, key)
        return self._shown(request, info, written.object, 201 if written.created else 200, written.warnings)

    async def _evict(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        """What `kubectl drain` asks for; there are no disruption budgets that could refuse it."""
        if request.method != "POST":
            raise api_errors.method_not_allowed()
        asked = (await read_object(request)).get("deleteOptions") or {}
        delete(self._registry, info, asked, dry_run=request.query.get("dryRun") == "All")
        return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, status=201)

    def _delete(self, request: web.Request, info: RequestInfo, options: Object) -> web.StreamResponse:
        dry_run = request.query.get("dryRun") == "All"
        asked = {**options, **{k: v for k, v in request.query.items() if k == "propagationPolicy"}}
        if info.name:
            return answer(delete(self._registry, info, asked, dry_run=dry_run))
        found = self._registry.list(info, selection(request.query, info))
        for each in found:
            one = RequestInfo(info.type, info.version, info.namespace, each["metadata"]["name"])
            delete(self._registry, one, asked, dry_run=dry_run)
        kind = f"{info.type.kind}List"
        metadata = {"resourceVersion": self._registry.resource_version}
        return answer(
            {
                "kind": kind,
                "apiVersion": info.type.api_version(info.version),
                "metadata": metadata,
                "items": found,
            }
        )


def _options(request: web.Request) -> WriteOptions:
    return write_options(request.query, request.headers.get("User-Agent", ""))


def _time_limit(text: str) -> float | None:
    """The seconds that a watch is to last; None for no end. ApiError (400) for what is no number."""
    found = decimal(text or "0")
    if found is None:
        raise api_errors.bad_request(f'timeoutSeconds: Invalid value: "{text}": must be a number of seconds')
    return min(float(found), LONGEST_WATCH_S) or None


def _wants_metadata(request: web.Request) -> bool:
    return "as=PartialObjectMetadata" in request.headers.get("Accept", "").split(",")[0]


def _bookmark(info: RequestInfo, version: str, *, initial: bool = False) -> dict[str, Any]:
    """The version up to which a watcher has been told everything; or of what it was told at first."""
    annotations = {"annotations": {_INITIAL_EVENTS_END: "true"}} if initial else {}
    shown = {
        "kind": info.type.kind,
        "apiVersion": info.type.api_version(info.version),
        "metadata": {"resourceVersion": version, **annotations},
    }
    return {"type": _BOOKMARK, "object": shown}
