"""Namespaces: what each has from its beginning, and the removal of those that go.

Each has the ServiceAccount `default`, under which pods run that name no other, and the ConfigMap
`kube-root-ca.crt`. One that is being removed goes when nothing is left in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from minimesh.config.kubernetes.core import ConfigMap, ServiceAccount
from minimesh.config.resources import ObjectMeta, Resource, ResourceKey
from minimesh.config.store import Snapshot
from minimesh.kubernetes.controllers.outcome import Outcome

ACCOUNT = "default"
ROOT_CERTIFICATES = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such "
    "as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across "
    "distributions of Kubernetes clusters."
)
_NO_CERTIFICATE = "# This API server speaks plain HTTP, on loopback only: it has no certificate to verify.\n"


def reconcile(snapshot: Snapshot) -> Outcome:
    """The objects that are missing, what a namespace that goes still holds, and those that hold nothing."""
    put: list[Resource] = []
    delete: list[ResourceKey] = []
    for each in snapshot.by_kind("Namespace"):
        if each.metadata.deletion_timestamp:
            delete += finalization(each, snapshot)
        else:
            put += (one for one in _belongings(each.name) if snapshot.get(one.key) is None)
    return Outcome(tuple(put), tuple(delete))


def finalization(namespace: Resource, snapshot: Snapshot) -> Iterator[ResourceKey]:
    """What is to be removed next for a namespace that goes: its content, and then itself."""
    content = [each for each in snapshot.resources if each.namespace == namespace.name]
    if content:
        yield from (each.key for each in content if not each.metadata.deletion_timestamp)
    elif not namespace.metadata.finalizers:
        yield namespace.key


def _belongings(namespace: str) -> tuple[Resource, ...]:
    account = ObjectMeta(name=ACCOUNT, namespace=namespace)
    metadata = ObjectMeta(
        name=ROOT_CERTIFICATES,
        namespace=namespace,
        annotations={"kubernetes.io/description": _DESCRIPTION},
    )
    content = ConfigMap(data={"ca.crt": _NO_CERTIFICATE})
    return (
        Resource(api_version="v1", kind="ServiceAccount", metadata=account, spec=ServiceAccount()),
        Resource(api_version="v1", kind="ConfigMap", metadata=metadata, spec=content),
    )
