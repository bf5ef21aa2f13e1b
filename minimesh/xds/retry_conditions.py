"""The words of `retry_on` that Envoy knows, for those who check them and those who act on them."""

from __future__ import annotations

#: Of `x-envoy-retry-on`: about connections and HTTP.
HTTP_RETRY_CONDITIONS = (
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
)
#: Of `x-envoy-retry-grpc-on`: gRPC statuses by name.
GRPC_RETRY_CONDITIONS = ("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable")

RETRY_CONDITIONS = HTTP_RETRY_CONDITIONS + GRPC_RETRY_CONDITIONS
