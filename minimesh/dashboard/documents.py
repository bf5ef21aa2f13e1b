"""The documents in force, and changing them: check, write, wait for the proxies, show what changed.

What a file declares is changed in that file, as an editor would; what was stored by kubectl is put back
through the store. Text with an error changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from minimesh.config.decoding import decode
from minimesh.config.diagnostics import has_errors
from minimesh.config.kinds import KUBERNETES_GATEWAY, written_kind
from minimesh.dashboard.generated_diff import generated_diff
from minimesh.dashboard.proxies import is_converged, snapshots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.config.diagnostics import Diagnostic
    from minimesh.config.resources import Resource
    from minimesh.control_plane.discovery.snapshot import Snapshot
    from minimesh.control_plane.server import ControlPlane

#: What the page shows and edits: what routes traffic, and what it leads to.
SHOWN_KINDS = frozenset(
    {
        "Gateway", "VirtualService", "DestinationRule", "ServiceEntry", "WorkloadEntry", "WorkloadGroup",
        "Sidecar", "EnvoyFilter", "Telemetry", "ProxyConfig", "Service", "Deployment", "Ingress",
        KUBERNETES_GATEWAY, "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "ReferenceGrant",
        "GatewayClass",
    }
)  # fmt: skip
_SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
_CONVERGE_LIMIT_S = 5.0


class DocumentError(ValueError):
    """A document that cannot be changed here; the text says why."""


def documents(control_plane: ControlPlane) -> dict[str, Any]:
    """Files with their whole text, stored documents with theirs, and what was found in each."""
    files = []
    for file, found in control_plane.file_diagnostics.items():
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        files.append({"file": file, "text": text, "diagnostics": _told(found)})
    resources = [each for each in control_plane.config.resources if _is_shown(each)]
    return {"files": files, "documents": [_document(each) for each in resources]}


def _is_shown(resource: Resource) -> bool:
    return resource.kind in SHOWN_KINDS and resource.namespace not in _SYSTEM_NAMESPACES


def _document(resource: Resource) -> dict[str, Any]:
    file = resource.source.file
    return {
        "resource": str(resource.key),
        "kind": written_kind(resource.kind),
        "namespace": resource.namespace,
        "name": resource.name,
        "file": file,
        "line": resource.location().line if file else 0,
        "text": "" if file else _text(resource),
    }


def _text(resource: Resource) -> str:
    """A stored document as `kubectl get -o yaml` shows it, without what the server keeps for itself."""
    raw = {key: value for key, value in resource.raw.items() if key != "status"}
    metadata = dict(raw.get("metadata") or {})
    for own in ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp"):
        metadata.pop(own, None)
    return str(yaml.safe_dump({**raw, "metadata": metadata}, sort_keys=False, width=120))


async def save_file(control_plane: ControlPlane, file: str, text: str) -> dict[str, Any]:
    """Write a file of the mesh when its text is good. Raises DocumentError for other files."""
    if file not in control_plane.file_diagnostics:
        raise DocumentError(f"{file} is not a file of this mesh")
    found = decode(text, file).diagnostics
    if has_errors(found):
        return _refused(found)
    before, begun = snapshots(control_plane), time.perf_counter()
    try:
        await asyncio.to_thread(_write, Path(file), text)
        control_plane.read_file(file)
    except OSError as error:
        raise DocumentError(f"{file} cannot be written: {error.strerror}") from None
    return await _applied(control_plane, before, begun, file)


async def save_document(control_plane: ControlPlane, key: str, text: str) -> dict[str, Any]:
    """Replace a stored document when its text is good. Raises DocumentError for what is not stored."""
    known = next((each for each in control_plane.config.resources if str(each.key) == key), None)
    if known is None or known.source.file:
        raise DocumentError(f"{key} is not stored here; change the file that declares it")
    decoded = decode(text, "")
    if has_errors(decoded.diagnostics):
        return _refused(decoded.diagnostics)
    if [each.key for each in decoded.resources] != [known.key]:
        raise DocumentError(f"the text must hold {key} and nothing else")
    before, begun = snapshots(control_plane), time.perf_counter()
    control_plane.store_document(decoded.resources[0])
    return await _applied(control_plane, before, begun, "")


def _write(path: Path, text: str) -> None:
    """At once, so that nobody reads half of it. Links and permissions stay what they are."""
    path = path.resolve()
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        shutil.copymode(path, beside)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


async def _applied(
    control_plane: ControlPlane, before: Mapping[str, Snapshot], begun: float, file: str
) -> dict[str, Any]:
    """Wait until every proxy has what follows from the change; what that is.

    Text that changes nothing for proxies is waited for by nobody.
    """
    try:
        async with asyncio.timeout(_CONVERGE_LIMIT_S):
            while not (control_plane.is_pushed and is_converged(control_plane)):
                await control_plane.changed()
        converged_ms: float | None = round((time.perf_counter() - begun) * 1000, 1)
    except TimeoutError:
        converged_ms = None
    shown, more = generated_diff(before, snapshots(control_plane))
    return {
        "applied": True,
        "diagnostics": _told(control_plane.file_diagnostics.get(file, ())),
        "diff": shown,
        "more": more,
        "converged_ms": converged_ms,
    }


def _refused(found: Sequence[Diagnostic]) -> dict[str, Any]:
    return {"applied": False, "diagnostics": _told(found), "diff": [], "more": 0, "converged_ms": None}


def _told(found: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    return [{**asdict(each), "text": str(each)} for each in found]
