"""The table of cases, by chapter."""

from __future__ import annotations

from tests.conformance.bootstraps.features import FEATURES
from tests.conformance.bootstraps.filters import FILTER_CHAINS
from tests.conformance.bootstraps.http2 import HTTP2_BOTH_ENDS
from tests.conformance.bootstraps.istio import ISTIO
from tests.conformance.bootstraps.managers import MANAGERS
from tests.conformance.bootstraps.runtime import RUNTIME
from tests.conformance.bootstraps.tls import TLS
from tests.conformance.bootstraps.upstreams import HEALTH_CHECKS, UPSTREAM_BEHAVIOUR
from tests.conformance.bootstraps.wire_bytes import WIRE_BYTES
from tests.conformance.case import Chapter
from tests.conformance.cases import (
    features,
    filters,
    http2,
    http2_upstreams,
    istio,
    managers,
    runtime,
    streaming,
    tls,
    upstreams,
    wire_bytes,
)

CHAPTERS: tuple[Chapter, ...] = (
    Chapter("outcomes", ISTIO, istio.OUTCOMES),
    Chapter("protocol", ISTIO, istio.PROTOCOL),
    Chapter("paths", ISTIO, istio.PATHS),
    Chapter("headers", ISTIO, istio.HEADERS),
    Chapter("variants and TCP", ISTIO, istio.VARIANTS),
    Chapter("pieces", ISTIO, streaming.PIECES),
    Chapter("large bodies", ISTIO, streaming.BODIES),
    Chapter("early and late", ISTIO, streaming.EARLY),
    Chapter("pipelining", ISTIO, streaming.PIPELINED),
    Chapter("filters and mirrors", FEATURES, features.FILTERS),
    Chapter("retries", FEATURES, features.RETRIES),
    Chapter("mutations", FEATURES, features.MUTATIONS),
    Chapter("times", FEATURES, features.TIMES),
    Chapter("HTTP filters", FILTER_CHAINS, filters.CASES),
    Chapter("TLS", TLS, tls.CASES),
    Chapter("HTTP2 clients", HTTP2_BOTH_ENDS, http2.CASES),
    Chapter("HTTP2 upstreams", HTTP2_BOTH_ENDS, http2_upstreams.CASES),
    Chapter("upstream behaviour", UPSTREAM_BEHAVIOUR, upstreams.CASES),
    Chapter("health checks", HEALTH_CHECKS, upstreams.HEALTH_CHECKS),
    Chapter("trust", MANAGERS, managers.TRUST),
    Chapter("path actions", MANAGERS, managers.PATH_ACTIONS),
    Chapter("codec settings", MANAGERS, managers.CODEC),
    Chapter("time settings", MANAGERS, managers.TIME),
    Chapter("runtime", RUNTIME, runtime.CASES),
    Chapter("wire bytes", WIRE_BYTES, wire_bytes.CASES),
)
