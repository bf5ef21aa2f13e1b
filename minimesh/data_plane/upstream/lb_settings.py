"""What the configuration says about the choice of a host. Defaults are Envoy's; times are in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class LoadBalancerPolicy(Enum):
    """How a host is chosen."""

    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"
    RANDOM = "RANDOM"
    RING_HASH = "RING_HASH"
    MAGLEV = "MAGLEV"
    CLUSTER_PROVIDED = "CLUSTER_PROVIDED"

    @property
    def by_hash(self) -> bool:
        """The hash of a request decides, so that it has to be worked out."""
        return self in _BY_HASH


_BY_HASH = frozenset({LoadBalancerPolicy.RING_HASH, LoadBalancerPolicy.MAGLEV})


class HashFunction(Enum):
    """What places hosts on a ring."""

    XX_HASH = "XX_HASH"
    MURMUR_HASH_2 = "MURMUR_HASH_2"


@dataclass(frozen=True, slots=True)
class ConsistentHashing:
    """RING_HASH and MAGLEV."""

    minimum_ring_size: int = 1024
    maximum_ring_size: int = 8 * 1024 * 1024
    hash_function: HashFunction = HashFunction.XX_HASH
    table_size: int = 65537
    """MAGLEV: a prime."""
    use_hostname: bool = False
    """A host is placed by its name in place of its address."""
    balance_factor_percent: int = 0
    """A host above this share of the average load passes a request on to another; 0: no limit."""


@dataclass(frozen=True, slots=True)
class SlowStart:
    """A host that has become healthy gets its full weight only after `window_s`."""

    window_s: float
    aggression: float = 1.0
    min_weight_percent: float = 10.0


class SubsetFallback(Enum):
    """Who serves a request that no subset fits."""

    NO_FALLBACK = "NO_FALLBACK"
    ANY_ENDPOINT = "ANY_ENDPOINT"
    DEFAULT_SUBSET = "DEFAULT_SUBSET"
    KEYS_SUBSET = "KEYS_SUBSET"


@dataclass(frozen=True, slots=True)
class SubsetSelector:
    """One set of metadata keys by which hosts are grouped; `fallback` None: the cluster's holds."""

    keys: frozenset[str]
    fallback: SubsetFallback | None = None
    fallback_keys: frozenset[str] = frozenset()
    single_host: bool = False


@dataclass(frozen=True, slots=True)
class Subsets:
    """`lb_subset_config`."""

    selectors: tuple[SubsetSelector, ...] = ()
    fallback: SubsetFallback = SubsetFallback.NO_FALLBACK
    default_subset: Mapping[str, object] = field(default_factory=dict)
    panic_mode_any: bool = False
    """A default subset without hosts falls back to all of the cluster's."""
    list_as_any: bool = False
    """A host whose value is a list belongs to the subset of each element."""


@dataclass(frozen=True, slots=True)
class LoadBalancing:
    """The choice of a host in one cluster."""

    policy: LoadBalancerPolicy = LoadBalancerPolicy.ROUND_ROBIN
    choice_count: int = 2
    """LEAST_REQUEST: how many hosts are drawn."""
    full_scan: bool = False
    """LEAST_REQUEST: all hosts are compared, none drawn."""
    active_request_bias: float = 1.0
    """LEAST_REQUEST with unequal weights: how much active requests count against weight."""
    slow_start: SlowStart | None = None
    hashing: ConsistentHashing = ConsistentHashing()
    panic_threshold_percent: float = 50.0
    fail_traffic_on_panic: bool = False
    locality_weighted: bool = False
    """Traffic is spread over localities by their weights, before a host is chosen."""
    subsets: Subsets | None = None
    use_original_dst_header: bool = False
    """ORIGINAL_DST: the destination may stand in a request header."""
    original_dst_header: str = "x-envoy-original-dst-host"
    original_dst_port: int = 0
    """ORIGINAL_DST: goes in place of the destination's port; 0: the port stays."""


DEFAULT_LOAD_BALANCING = LoadBalancing()
