"""JSON patch (RFC 6902) and JSON merge patch (RFC 7396). Pure: each returns a new value."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from minimesh.config.decimals import decimal

MAX_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024


class PatchError(Exception):
    """A patch that cannot be applied; the text says why."""


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch: maps merge, null deletes, everything else replaces."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    found = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merge_patch(found.get(key), value)
    return found


def json_patch(target: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """Apply the operations of a JSON patch in order. PatchError when one does not fit, or there are too many.

    What `copy` makes counts together: each may double an object.
    """
    if len(operations) > MAX_OPERATIONS:
        raise PatchError(f"the allowed maximum operations in a JSON patch is {MAX_OPERATIONS}")
    found = copy.deepcopy(target)
    copied = 0
    for each in operations:
        if each.get("op") == "copy":
            copied += len(json.dumps(_get(found, _tokens(str(each.get("from", ""))))))
            if copied > MAX_COPIED_BYTES:
                raise PatchError(f"the copies of a JSON patch may take up to {MAX_COPIED_BYTES} bytes")
        found = _operate(found, each)
    return found


def _operate(document: Any, operation: Mapping[str, Any]) -> Any:
    action, path = operation.get("op"), _tokens(str(operation.get("path", "")))
    if action == "test":
        if _get(document, path) != operation.get("value"):
            raise PatchError(f"testing value {operation.get('path')} failed")
        return document
    if action == "remove":
        return _remove(document, path)
    if action in ("add", "replace"):
        if action == "replace":
            document = (
                _remove(document, path) if path and _get(document, path, None) is not _MISSING else None
            )
            if document is None:
                raise PatchError(f"replace operation does not apply: doc is missing key: {operation['path']}")
        return _add(document, path, copy.deepcopy(operation.get("value")))
    if action in ("move", "copy"):
        source = _tokens(str(operation.get("from", "")))
        value = copy.deepcopy(_get(document, source))
        if action == "move":
            document = _remove(document, source)
        return _add(document, path, value)
    raise PatchError(f"Unexpected kind: {action}")


_MISSING = object()


def _tokens(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise PatchError(f"the path {path!r} does not begin with a slash")
    return [each.replace("~1", "/").replace("~0", "~") for each in path.split("/")[1:]]


def _get(document: Any, path: Sequence[str], default: Any = PatchError) -> Any:
    for token in path:
        if isinstance(document, Mapping) and token in document:
            document = document[token]
        elif isinstance(document, list) and (index := decimal(token)) is not None and index < len(document):
            document = document[index]
        elif default is PatchError:
            raise PatchError(f"doc is missing path: /{'/'.join(path)}")
        else:
            return _MISSING
    return document


def _add(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
        return document
    index = len(parent) if last == "-" and isinstance(parent, list) else decimal(last)
    if not isinstance(parent, list) or index is None or index > len(parent):
        raise PatchError(f"add operation does not apply: /{'/'.join(path)}")
    parent.insert(index, value)
    return document


def _remove(document: Any, path: Sequence[str]) -> Any:
    if not path or _get(document, path, None) is _MISSING:
        raise PatchError(f"remove operation does not apply: doc is missing path: /{'/'.join(path)}")
    parent = _get(document, path[:-1])
    del parent[path[-1] if isinstance(parent, dict) else int(path[-1])]
    return document
