"""Why a request fared as it did, and what would mend it: the nearest misses, and what commonly surprises.

One function for each thing that goes wrong; each looks at a `Situation` and says nothing unless it is so.
None decides what the proxy does: they read what it did, and look in the documents for what was meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import yaml

from minimesh.explain.causes import (
    balancing,
    destinations,
    endpoints,
    faults,
    gateway_api,
    gateways,
    hosts,
    observing,
    order,
    paths,
)
from minimesh.explain.ladder import Finding, Severity
from minimesh.explain.patches import difference, document_of

if TYPE_CHECKING:
    from minimesh.explain.situation import Situation

CHECKS: tuple[Callable[[Situation], Iterable[Finding]], ...] = (
    observing.rejected_by_proxy,
    gateways.selects_nothing,
    gateways.opens_other_ports,
    gateways.unmapped_port,
    gateways.server_name,
    gateways.left_out_server,
    gateways.no_gateway,
    gateway_api.route_not_attached,
    gateway_api.backend_unresolved,
    hosts.gateway_elsewhere,
    hosts.host_not_let_in,
    hosts.not_bound_to_gateway,
    hosts.not_bound_to_mesh,
    hosts.ignored_in_mesh,
    hosts.merged_on_gateway,
    hosts.wrong_host_header,
    hosts.port_in_host,
    paths.asterisk_in_path,
    paths.nearest_route,
    paths.text_prefix,
    paths.double_slash,
    paths.rest_of_prefix,
    order.hidden_rule,
    order.alternatives_instead_of_both,
    destinations.other_namespace,
    destinations.port_needed,
    destinations.missing_subset,
    destinations.missing_service,
    destinations.unknown_port_or_name,
    endpoints.subset_without_pods,
    endpoints.no_pods,
    endpoints.nobody_listens,
    destinations.not_http,
    faults.injected,
    faults.timeout,
    balancing.shares,
    balancing.policy,
    observing.rejected_files,
    observing.no_access_log,
)
_ORDER = [Severity.CAUSE, Severity.WARNING, Severity.NOTE]


def findings(situation: Situation) -> list[Finding]:
    """All that can be said, causes first, each once."""
    found = {each.sentence: _with_change(situation, each) for check in CHECKS for each in check(situation)}
    return sorted(found.values(), key=lambda each: _ORDER.index(each.severity))


def _with_change(situation: Situation, finding: Finding) -> Finding:
    """A finding with what its patch changes."""
    if not finding.patch:
        return finding
    written = []
    for change in yaml.safe_load_all(finding.patch):
        metadata = change["metadata"]
        namespace = metadata.get("namespace", "")
        resource = situation.world.resource(change["kind"], namespace, metadata["name"])
        if resource is not None:
            document = document_of(resource)
            document["metadata"] = {**document.get("metadata", {}), **metadata}
            written.append(document)
    return replace(finding, change=difference(written, finding.patch))
