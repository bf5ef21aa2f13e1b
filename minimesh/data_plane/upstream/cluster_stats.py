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
        "membership_healthy",
        "membership_total",
        "panic",
        "prefix",
        "rq_active",
        "rq_by_class",
        "rq_by_code",
        "rq_cancelled",
        "rq_completed",
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
        self.rq_completed = counter(prefix + "upstream_rq_completed")
        self.rq_by_class = tuple(counter(f"{prefix}upstream_rq_{n}xx") for n in range(1, 6))
        self.rq_by_code: dict[int, Counter] = {}
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
        self.membership_change = counter(prefix + "membership_change")
        self.panic = counter(prefix + "lb_healthy_panic")

    def count_response(self, status: int) -> None:
        """One response of an upstream, by class and by code."""
        self.rq_completed.value += 1
        self.rq_by_class[status // 100 - 1].value += 1
        by_code = self.rq_by_code.get(status)
        if by_code is None:
            by_code = self.rq_by_code[status] = self.store.counter(f"{self.prefix}upstream_rq_{status}")
        by_code.value += 1
