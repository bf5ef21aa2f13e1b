"""Faults that keys of the runtime change."""

from __future__ import annotations

from tests.conformance.case import Case
from tests.conformance.cases.requests import get

_GRPC = ("Content-Type: application/grpc",)

CASES = (
    *(
        Case(f"runtime, {listener}: GET", get("/x"), listener=listener)
        for listener in (
            "gateway",
            "delay",
            "no-delay",
            "header-delay",
            "abort",
            "abort-by-all",
            "abort-by-none",
            "abort-by-word",
            "abort-by-part",
            "header-abort",
            "grpc-abort",
            "none-active",
            "more-active",
        )
    ),
    *(
        Case(f"runtime, {listener}: gRPC", get("/x", *_GRPC, method="POST"), listener=listener)
        for listener in ("abort", "header-abort", "grpc-abort")
    ),
    Case(
        "runtime, header-delay: asked for",
        get("/x", "X-Envoy-Fault-Delay-Request: 50"),
        listener="header-delay",
    ),
    Case(
        "runtime, header-abort: asked for",
        get("/x", "X-Envoy-Fault-Abort-Request: 429"),
        listener="header-abort",
    ),
    Case(
        "runtime, header-abort: asked for in gRPC's words",
        get("/x", *_GRPC, "X-Envoy-Fault-Abort-Grpc-Request: 3", method="POST"),
        listener="header-abort",
    ),
)
