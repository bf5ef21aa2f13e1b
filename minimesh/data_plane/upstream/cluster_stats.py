"""The counters of one cluster under Envoy's names, looked up once."""

from __future__ import annotations

from minimesh.data_plane.telemetry.stats import Counter, StatsStore


class ClusterStats:
    """Plain attributes; a request adds to their `.value`."""

    __slots__ = (
        "connect_fail",
        "connect_timeout",
        "cx_active",
        "cx_destroy",
        "cx_overflow",
        "cx_pool_overflow",
        "cx_total",
        "membership_change",
        "membership_degraded",
        "membership_excluded",
        "membership_healthy",
        "membership_total",
        "panic",
        "prefix",
        "rq_active",
        "rq_by_code",
        "rq_cancelled",
        "rq_internal_by_code",
        "rq_pending_active",
        "rq_pending_overflow",
        "rq_pending_total",
        "rq_per_try_timeout",
        "rq_retry",
        "rq_retry_limit_exceeded",
        "rq_retry_overflow",
        "rq_retry_success",
        "rq_rx_reset",
        "rq_timeout",
        "rq_total",
        "rq_tx_reset",
        "store",
    )

    def __init__(self, store: StatsStore, name: str) -> None:
        prefix = f"cluster.{name}."
        self.store = store
        self.prefix = prefix
        counter, gauge = store.counter, store.gauge
        self.cx_total = counter(prefix + "upstream_cx_total")
        self.cx_active = gauge(prefix + "upstream_cx_active")
        self.cx_destroy = counter(prefix + "upstream_cx_destroy")
        self.connect_fail = counter(prefix + "upstream_cx_connect_fail")
        self.connect_timeout = counter(prefix + "upstream_cx_connect_timeout")
        self.cx_overflow = counter(prefix + "upstream_cx_overflow")
        self.cx_pool_overflow = counter(prefix + "upstream_cx_pool_overflow")
        self.rq_total = counter(prefix + "upstream_rq_total")
        self.rq_active = gauge(prefix + "upstream_rq_active")
        self.rq_by_code: dict[int, Counter] = {}
        #: Those answered to requests from within the mesh (x-envoy-internal).
        self.rq_internal_by_code: dict[int, Counter] = {}
        self.rq_cancelled = counter(prefix + "upstream_rq_cancelled")
        self.rq_pending_total = counter(prefix + "upstream_rq_pending_total")
        self.rq_pending_active = gauge(prefix + "upstream_rq_pending_active")
        self.rq_pending_overflow = counter(prefix + "upstream_rq_pending_overflow")
        self.rq_timeout = counter(prefix + "upstream_rq_timeout")
        self.rq_per_try_timeout = counter(prefix + "upstream_rq_per_try_timeout")
        self.rq_rx_reset = counter(prefix + "upstream_rq_rx_reset")
        self.rq_tx_reset = counter(prefix + "upstream_rq_tx_reset")
        self.rq_retry = counter(prefix + "upstream_rq_retry")
        self.rq_retry_success = counter(prefix + "upstream_rq_retry_success")
        self.rq_retry_overflow = counter(prefix + "upstream_rq_retry_overflow")
        self.rq_retry_limit_exceeded = counter(prefix + "upstream_rq_retry_limit_exceeded")
        self.membership_total = gauge(prefix + "membership_total")
        self.membership_healthy = gauge(prefix + "membership_healthy")
        self.membership_degraded = gauge(prefix + "membership_degraded")
        self.membership_excluded = gauge(prefix + "membership_excluded")
        self.membership_change = counter(prefix + "membership_change")
        self.panic = counter(prefix + "lb_healthy_panic")

    def count(self, name: str) -> None:
        """Something rare: its counter is made when it first happens."""
        self.store.counter(self.prefix + name).inc()

    def count_closed(self, *, remote: bool = False, active: bool = False) -> None:
        """A connection is closed: by whom, and whether an exchange was under way."""
        self.cx_destroy.inc()
        side = "remote" if remote else "local"
        self.count(f"upstream_cx_destroy_{side}")
        if active:
            self.count("upstream_cx_destroy_with_active_rq")
            self.count(f"upstream_cx_destroy_{side}_with_active_rq")

    def count_response(self, status: int, *, internal: bool = False) -> None:
        """A response that goes to a client, whoever made it. `internal`: its request had x-envoy-internal."""
        by_code = self.rq_by_code.get(status)
        if by_code is None:
            by_code = self._count_code(status)
        by_code.value += 1
        if internal:
            self.rq_internal_by_code[status].value += 1

    def count_retried_response(self, status: int) -> None:
        """A response that was dropped for another try."""
        for name in (str(status), f"{status // 100}xx", "completed"):
            self.count(f"retry.upstream_rq_{name}")

    def _count_code(self, status: int) -> Counter:
        """Makes what counts responses of this status: one number is counted, the rest is sums."""
        store, prefix = self.store, self.prefix
        counter = self.rq_by_code[status] = store.counter(f"{prefix}upstream_rq_{status}")
        internal = store.counter(f"{prefix}internal.upstream_rq_{status}")
        self.rq_internal_by_code[status] = internal
        store.sum(f"{prefix}external.upstream_rq_{status}").add(counter).take_off(internal)
        for name in (f"upstream_rq_{status // 100}xx", "upstream_rq_completed"):
            store.sum(prefix + name).add(counter)
            store.sum(f"{prefix}internal.{name}").add(internal)
            store.sum(f"{prefix}external.{name}").add(counter).take_off(internal)
        return counter
