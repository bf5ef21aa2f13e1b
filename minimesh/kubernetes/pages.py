"""Lists in pieces: `limit` and `continue`, and which version of everything a list shows.

What a first piece leaves over is taken from the same moment: a few snapshots are kept for as long as somebody
may come back for more. A client that comes too late has to begin again (410).
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minimesh.config.decimals import decimal
from minimesh.config.store import Snapshot, Store
from minimesh.kubernetes.api_errors import ApiError, bad_request, expired
from minimesh.kubernetes.objects import Object

KEPT_SNAPSHOTS = 8
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter."
)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What the query string says about a list."""

    limit: int = 0
    start: int = 0
    """How many matching objects earlier pieces have shown."""
    version: int | None = None
    """The version that must be shown; None for whatever is now."""
    at_least: int = 0


def list_options(query: Mapping[str, str]) -> ListOptions:
    """Read the query string. ApiError (400) for what is no number or no token of ours."""
    limit, wanted = _number(query, "limit"), query.get("resourceVersion", "")
    match, token = query.get("resourceVersionMatch", ""), query.get("continue", "")
    if match and not wanted:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise bad_request(f"resourceVersionMatch: Forbidden: {why}")
    if match not in ("", "Exact", "NotOlderThan"):
        supported = 'supported values: "Exact", "NotOlderThan", ""'
        raise bad_request(f'resourceVersionMatch: Unsupported value: "{match}": {supported}')
    if token:
        version, start = _read_token(token)
        return ListOptions(limit, start, version)
    version = _number(query, "resourceVersion")
    if match == "Exact":
        return ListOptions(limit, version=version)
    return ListOptions(limit, at_least=version)


class Pages:
    """The snapshots of one store that lists are shown from."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[int, Snapshot] = OrderedDict()

    def snapshot(self, options: ListOptions) -> Snapshot:
        """The snapshot that a list is to show. ApiError (410) when it is no longer there."""
        now = self._store.snapshot()
        if options.at_least > now.version:
            raise _too_large(options.at_least, now.version)
        if options.version is None or options.version == now.version:
            return now
        found = self._kept.get(options.version)
        if found is None and options.start:
            raise expired(_TOO_OLD)
        if found is None:
            raise expired("The resourceVersion for the provided list is too old.")
        return found

    def cut(
        self, found: Sequence[Object], options: ListOptions, snapshot: Snapshot
    ) -> tuple[Sequence[Object], dict[str, Any]]:
        """The piece of a list that was asked for, and the list's metadata."""
        metadata: dict[str, Any] = {"resourceVersion": str(snapshot.version)}
        end = options.start + options.limit
        if not options.limit or end >= len(found):
            return found[options.start :], metadata
        self._keep(snapshot)
        metadata["continue"] = _token(snapshot.version, end)
        metadata["remainingItemCount"] = len(found) - end
        return found[options.start : end], metadata

    def _keep(self, snapshot: Snapshot) -> None:
        self._kept[snapshot.version] = snapshot
        self._kept.move_to_end(snapshot.version)
        while len(self._kept) > KEPT_SNAPSHOTS:
            self._kept.popitem(last=False)


def _token(version: int, start: int) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _read_token(token: str) -> tuple[int, int]:
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, start = int(found["rv"]), int(found["start"])
        if min(version, start) < 0:
            raise ValueError("it begins before the list")
        return version, start
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "") or "0"
    found = decimal(text)
    if found is None:
        raise bad_request(f'{name}: Invalid value: "{text}": must be a number')
    return found


def _too_large(wanted: int, current: int) -> ApiError:
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Too large resource version: {wanted}, current: {current}"
    return ApiError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})
