"""The injector: pods that no client created through the API get their sidecars here, before they run.

Those that a client creates have been injected by the API server (`registry`). A pod that runs keeps what it
has, whatever becomes of its namespace's labels: only a new pod is injected.
"""

from __future__ import annotations

from minimesh.config.injection import injected
from minimesh.config.proxy_settings import proxy_settings
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Snapshot
from minimesh.kubernetes.controllers.outcome import Outcome


def reconcile(snapshot: Snapshot) -> Outcome:
    """The pods that ask for a sidecar and have none yet, with it."""
    waiting = [each for each in snapshot.by_kind("Pod") if not each.spec.node_name]
    changed = ((each, admitted(each, snapshot)) for each in waiting)
    return Outcome(tuple(after for before, after in changed if after is not before))


def admitted(pod: Resource, snapshot: Snapshot) -> Resource:
    """The pod as the webhook lets it through, with its sidecar or as it is."""
    namespace = snapshot.get(ResourceKey("Namespace", "", pod.namespace))
    labels = namespace.metadata.labels if namespace is not None else {}
    return injected(pod, labels, proxy_settings(pod.metadata, pod.namespace, snapshot))
