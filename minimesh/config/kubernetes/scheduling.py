"""Where and when a pod may be placed: affinity, tolerations, spreading, resource claims.

Known by name and type, so that published manifests load; this mesh runs every pod on one machine."""

from __future__ import annotations

from typing import Annotated

from minimesh.config.kubernetes.meta import LabelSelector
from minimesh.config.schema import Message, OneOf, Req, message


@message
class Affinity(Message):
    """All affinity rules of a pod."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAntiAffinity | None = None


@message
class NodeAffinity(Message):
    """Which nodes a pod prefers or needs."""

    preferred_during_scheduling_ignored_during_execution: tuple[PreferredSchedulingTerm, ...] = ()
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


@message
class PreferredSchedulingTerm(Message):
    """A node selector with a weight."""

    preference: Req[NodeSelectorTerm | None] = None
    weight: Req[int] = 0


@message
class NodeSelectorTerm(Message):
    """One alternative of a node selector."""

    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()


@message
class NodeSelectorRequirement(Message):
    """One expression over node labels or fields."""

    key: Req[str] = ""
    operator: Req[str] = ""
    values: tuple[str, ...] = ()


@message
class NodeSelector(Message):
    """Alternatives, one of which a node must meet."""

    node_selector_terms: Req[tuple[NodeSelectorTerm, ...]] = ()


@message
class PodAffinity(Message):
    """Which pods to be near to."""

    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = ()
    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = ()


@message
class WeightedPodAffinityTerm(Message):
    """A pod affinity term with a weight."""

    pod_affinity_term: Req[PodAffinityTerm | None] = None
    weight: Req[int] = 0


@message
class PodAffinityTerm(Message):
    """Pods, and the topology in which nearness is measured."""

    label_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    mismatch_label_keys: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    topology_key: Req[str] = ""


@message
class PodAntiAffinity(Message):
    """Which pods to keep away from."""

    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = ()
    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = ()


@message
class Toleration(Message):
    """A node taint that a pod puts up with."""

    effect: str = ""
    key: str = ""
    operator: Annotated[str, OneOf(("Exists", "Equal", "Lt", "Gt"))] = ""
    toleration_seconds: int | None = None
    value: str = ""


@message
class TopologySpreadConstraint(Message):
    """How evenly pods spread over a topology."""

    label_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    max_skew: Req[int] = 0
    min_domains: int | None = None
    node_affinity_policy: str = ""
    node_taints_policy: str = ""
    topology_key: Req[str] = ""
    when_unsatisfiable: Req[str] = ""


@message
class PodSchedulingGate(Message):
    """Holds scheduling back until it is removed."""

    name: Req[str] = ""


@message
class PodSchedulingGroup(Message):
    """The group that a pod is scheduled with."""

    pod_group_name: str = ""


@message
class PodResourceClaim(Message):
    """A resource claim that containers may refer to by name."""

    name: Req[str] = ""
    resource_claim_name: str = ""
    resource_claim_template_name: str = ""


@message
class PodReadinessGate(Message):
    """A condition that must be true before a pod counts as ready."""

    condition_type: Req[str] = ""


@message
class EvictionResponder(Message):
    """Who is asked before a pod is evicted."""

    name: Req[str] = ""
    priority: Req[int] = 0
