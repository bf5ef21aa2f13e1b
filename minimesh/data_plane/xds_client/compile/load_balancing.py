"""How a Cluster says that a host is chosen -> `upstream.lb_settings.LoadBalancing`.

It says so in one of two ways: `lb_policy` with a message for each policy beside it, or the newer
`load_balancing_policy`, a list of typed extensions of which the first one known counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from minimesh.data_plane.upstream.lb_settings import (
    ConsistentHashing,
    HashFunction,
    LoadBalancerPolicy,
    LoadBalancing,
    SlowStart,
    SubsetFallback,
    Subsets,
    SubsetSelector,
)
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_configs import struct_to_plain
from minimesh.data_plane.xds_client.compile.route_environment import by_number, optional_seconds
from minimesh.xds import messages as m

_COMMON = frozenset(
    {
        "healthy_panic_threshold",
        "zone_aware_lb_config",
        "locality_weighted_lb_config",
        "update_merge_window",
        "ignore_new_hosts_until_first_hc",
        "close_connections_on_host_set_change",
        "consistent_hashing_lb_config",
        "override_host_status",
    }
)
_MAX_TABLE_SIZE = 5_000_011
_MAX_RING_SIZE = 8 * 1024 * 1024
_HASH_FUNCTIONS = (HashFunction.XX_HASH, HashFunction.MURMUR_HASH_2)
#: The typed extension numbers them anew.
_TYPED_HASH_FUNCTIONS = (HashFunction.XX_HASH, HashFunction.XX_HASH, HashFunction.MURMUR_HASH_2)
_FALLBACKS = (SubsetFallback.NO_FALLBACK, SubsetFallback.ANY_ENDPOINT, SubsetFallback.DEFAULT_SUBSET)
_SELECTOR_FALLBACKS = (None, *_FALLBACKS, SubsetFallback.KEYS_SUBSET)


def compile_load_balancing(message: Any, path: str, context: CompileContext) -> LoadBalancing:
    """Of one Cluster. Raises CompileError."""
    settings = _common(LoadBalancing(), message.common_lb_config, join(path, "common_lb_config"), context)
    if message.HasField("load_balancing_policy"):
        settings = _typed(
            settings, message.load_balancing_policy, join(path, "load_balancing_policy"), context
        )
    else:
        settings = _by_name(settings, message, path, context)
    original = message.original_dst_lb_config
    if message.HasField("original_dst_lb_config"):
        where = join(path, "original_dst_lb_config")
        supported = frozenset({"use_http_header", "http_header_name", "upstream_port_override"})
        refuse_unsupported(original, where, supported)
        settings = replace(
            settings,
            use_original_dst_header=original.use_http_header,
            original_dst_header=original.http_header_name.lower() or settings.original_dst_header,
            original_dst_port=original.upstream_port_override.value,
        )
    if message.HasField("lb_subset_config"):
        subsets = _subsets(message.lb_subset_config, join(path, "lb_subset_config"))
        settings = replace(settings, subsets=subsets)
    return settings


# --- lb_policy ------------------------------------------------------------------------------------


def _by_name(settings: LoadBalancing, message: Any, path: str, context: CompileContext) -> LoadBalancing:
    name = message.LbPolicy.Name(message.lb_policy)
    try:
        settings = replace(settings, policy=LoadBalancerPolicy(name))
    except ValueError:
        context.not_simulated(join(path, "lb_policy"), f"{name} of cluster {message.name!r}")
        return replace(settings, policy=LoadBalancerPolicy.LEAST_REQUEST)
    policy = settings.policy
    if policy is LoadBalancerPolicy.LEAST_REQUEST and message.HasField("least_request_lb_config"):
        where = join(path, "least_request_lb_config")
        return _least_request(settings, message.least_request_lb_config, where)
    if policy is LoadBalancerPolicy.ROUND_ROBIN:
        where = join(path, "round_robin_lb_config")
        return _with_slow_start(settings, message.round_robin_lb_config, where)
    if policy is LoadBalancerPolicy.RING_HASH:
        where = join(path, "ring_hash_lb_config")
        return _ring(settings, message.ring_hash_lb_config, where, _HASH_FUNCTIONS)
    if policy is LoadBalancerPolicy.MAGLEV:
        return _maglev(settings, message.maglev_lb_config, join(path, "maglev_lb_config"))
    return settings


def _least_request(settings: LoadBalancing, message: Any, path: str) -> LoadBalancing:
    settings = _with_slow_start(settings, message, path)
    choice_count = message.choice_count.value if message.HasField("choice_count") else 2
    if choice_count < 2:
        raise CompileError(join(path, "choice_count"), "must be at least 2")
    bias = message.active_request_bias
    return replace(
        settings,
        choice_count=choice_count,
        full_scan=message.selection_method == 1,
        active_request_bias=bias.default_value if message.HasField("active_request_bias") else 1.0,
    )


def _with_slow_start(settings: LoadBalancing, message: Any, path: str) -> LoadBalancing:
    if not message.HasField("slow_start_config"):
        return settings
    slow_start, where = message.slow_start_config, join(path, "slow_start_config")
    window_s = optional_seconds(slow_start, "slow_start_window", where)
    if not window_s:
        return settings
    aggression = slow_start.aggression.default_value if slow_start.HasField("aggression") else 1.0
    least = slow_start.min_weight_percent.value if slow_start.HasField("min_weight_percent") else 10.0
    return replace(settings, slow_start=SlowStart(window_s, aggression if aggression > 0 else 1.0, least))


def _ring(
    settings: LoadBalancing, message: Any, path: str, functions: tuple[HashFunction, ...]
) -> LoadBalancing:
    least = message.minimum_ring_size.value if message.HasField("minimum_ring_size") else 1024
    most = message.maximum_ring_size.value if message.HasField("maximum_ring_size") else _MAX_RING_SIZE
    if least > most:
        text = f"({least}) is greater than maximum_ring_size ({most})"
        raise CompileError(join(path, "minimum_ring_size"), text)
    if max(least, most) > _MAX_RING_SIZE:
        raise CompileError(join(path, "maximum_ring_size"), f"must not be greater than {_MAX_RING_SIZE}")
    hashing = replace(
        settings.hashing,
        minimum_ring_size=least,
        maximum_ring_size=most,
        hash_function=by_number(functions, message.hash_function, join(path, "hash_function")),
    )
    return replace(settings, hashing=hashing)


def _maglev(settings: LoadBalancing, message: Any, path: str) -> LoadBalancing:
    if not message.HasField("table_size"):
        return settings
    size, where = message.table_size.value, join(path, "table_size")
    if size > _MAX_TABLE_SIZE:
        raise CompileError(where, f"must not be greater than {_MAX_TABLE_SIZE}")
    if not _is_prime(size):
        raise CompileError(where, "The table size of maglev must be prime number")
    return replace(settings, hashing=replace(settings.hashing, table_size=size))


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


# --- common_lb_config -----------------------------------------------------------------------------


def _common(settings: LoadBalancing, message: Any, path: str, context: CompileContext) -> LoadBalancing:
    refuse_unsupported(message, path, _COMMON)
    if message.close_connections_on_host_set_change:
        context.not_simulated(
            join(path, "close_connections_on_host_set_change"), "close_connections_on_host_set_change"
        )
    threshold = message.healthy_panic_threshold
    settings = replace(
        settings,
        hashing=_hashing(message.consistent_hashing_lb_config),
        panic_threshold_percent=round(threshold.value)
        if message.HasField("healthy_panic_threshold")
        else 50.0,
    )
    return _locality(settings, message)


def _hashing(message: Any) -> ConsistentHashing:
    return ConsistentHashing(
        use_hostname=message.use_hostname_for_hashing,
        balance_factor_percent=message.hash_balance_factor.value,
    )


def _locality(settings: LoadBalancing, message: Any) -> LoadBalancing:
    """`zone_aware_lb_config` or `locality_weighted_lb_config`, in either way of saying it.

    Zone awareness needs a local cluster (`cluster_manager.local_cluster_name`) that tells the zones of the
    callers; there is none here, so that it changes nothing, as in Envoy.
    """
    return replace(
        settings,
        locality_weighted=message.HasField("locality_weighted_lb_config"),
        fail_traffic_on_panic=message.zone_aware_lb_config.fail_traffic_on_panic,
    )


# --- load_balancing_policy ------------------------------------------------------------------------

_PREFIX = "envoy.extensions.load_balancing_policies."


def _typed(settings: LoadBalancing, message: Any, path: str, context: CompileContext) -> LoadBalancing:
    """The first policy of the list that this proxy knows, as Envoy takes the first it knows."""
    names = []
    for number, policy in enumerate(message.policies):
        config = policy.typed_extension_config.typed_config
        name = config.type_url.rpartition("/")[2]
        kind = _TYPED.get(name)
        if kind is not None:
            message_class, compile_policy = kind
            unpacked = message_class()
            config.Unpack(unpacked)
            where = f"{path}.policies[{number}]"
            return compile_policy(settings, unpacked, where, context)
        names.append(name.removeprefix(_PREFIX) or policy.typed_extension_config.name)
    raise CompileError(join(path, "policies"), f"{', '.join(names) or 'none'}: not supported")


def _typed_least_request(
    settings: LoadBalancing, message: Any, path: str, context: CompileContext
) -> LoadBalancing:
    settings = replace(settings, policy=LoadBalancerPolicy.LEAST_REQUEST)
    settings = _least_request(settings, message, path)
    return _typed_locality(settings, message)


def _typed_round_robin(
    settings: LoadBalancing, message: Any, path: str, context: CompileContext
) -> LoadBalancing:
    settings = replace(settings, policy=LoadBalancerPolicy.ROUND_ROBIN)
    return _typed_locality(_with_slow_start(settings, message, path), message)


def _typed_random(settings: LoadBalancing, message: Any, path: str, context: CompileContext) -> LoadBalancing:
    settings = replace(settings, policy=LoadBalancerPolicy.RANDOM)
    return _typed_locality(settings, message)


def _typed_ring(settings: LoadBalancing, message: Any, path: str, context: CompileContext) -> LoadBalancing:
    hashing = _hashing(message.consistent_hashing_lb_config)
    settings = replace(
        settings,
        policy=LoadBalancerPolicy.RING_HASH,
        hashing=hashing,
        locality_weighted=message.HasField("locality_weighted_lb_config"),
    )
    return _ring(settings, message, path, _TYPED_HASH_FUNCTIONS)


def _typed_maglev(settings: LoadBalancing, message: Any, path: str, context: CompileContext) -> LoadBalancing:
    hashing = _hashing(message.consistent_hashing_lb_config)
    settings = replace(
        settings,
        policy=LoadBalancerPolicy.MAGLEV,
        hashing=hashing,
        locality_weighted=message.HasField("locality_weighted_lb_config"),
    )
    return _maglev(settings, message, path)


def _wrr_locality(settings: LoadBalancing, message: Any, path: str, context: CompileContext) -> LoadBalancing:
    where = join(path, "endpoint_picking_policy")
    inner = _typed(settings, message.endpoint_picking_policy, where, context)
    return replace(inner, locality_weighted=True)


def _cluster_provided(
    settings: LoadBalancing, message: Any, path: str, context: CompileContext
) -> LoadBalancing:
    return replace(settings, policy=LoadBalancerPolicy.CLUSTER_PROVIDED)


def _typed_locality(settings: LoadBalancing, message: Any) -> LoadBalancing:
    if not message.HasField("locality_lb_config"):
        return settings
    return _locality(settings, message.locality_lb_config)


_CompilePolicy = Callable[[LoadBalancing, Any, str, CompileContext], LoadBalancing]
_TYPED: dict[str, tuple[Any, _CompilePolicy]] = {
    message_class.DESCRIPTOR.full_name: (message_class, compile_policy)
    for message_class, compile_policy in (
        (m.least_request_pb2.LeastRequest, _typed_least_request),
        (m.round_robin_pb2.RoundRobin, _typed_round_robin),
        (m.random_pb2.Random, _typed_random),
        (m.ring_hash_pb2.RingHash, _typed_ring),
        (m.maglev_pb2.Maglev, _typed_maglev),
        (m.wrr_locality_pb2.WrrLocality, _wrr_locality),
        (m.cluster_provided_pb2.ClusterProvided, _cluster_provided),
    )
}


# --- lb_subset_config -----------------------------------------------------------------------------


def _subsets(message: Any, path: str) -> Subsets | None:
    """None when there are no selectors: then the configuration has no effect."""
    supported = frozenset(
        {
            "fallback_policy",
            "default_subset",
            "subset_selectors",
            "panic_mode_any",
            "list_as_any",
            "locality_weight_aware",
        }
    )
    refuse_unsupported(message, path, supported)
    if not message.subset_selectors:
        return None
    selectors = tuple(
        _selector(selector, f"{path}.subset_selectors[{number}]")
        for number, selector in enumerate(message.subset_selectors)
    )
    return Subsets(
        selectors,
        by_number(_FALLBACKS, message.fallback_policy, join(path, "fallback_policy")),
        struct_to_plain(message.default_subset),
        panic_mode_any=message.panic_mode_any,
        list_as_any=message.list_as_any,
    )


def _selector(message: Any, path: str) -> SubsetSelector:
    keys, fewer = frozenset(message.keys), frozenset(message.fallback_keys_subset)
    fallback = by_number(_SELECTOR_FALLBACKS, message.fallback_policy, join(path, "fallback_policy"))
    if fallback is SubsetFallback.KEYS_SUBSET and not (fewer and fewer < keys):
        raise CompileError(
            join(path, "fallback_keys_subset"), "must be some of the selector's keys, but not all of them"
        )
    return SubsetSelector(keys, fallback, fewer, single_host=message.single_host_per_subset)
