"""How one bookinfo service calls the next: its address, the headers that travel along, a time limit."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PORT = 9080
# What ties the calls of one request together, in the formats that tracers use.
TRACING_HEADERS = (
    "x-request-id",
    "x-ot-span-context",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "sw8",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said: its status, or None when nothing came back in time; and its JSON."""

    status: int | None
    document: Any = None


def service_url(service: str) -> str:
    """Where a service is; `DETAILS_HOSTNAME`, `SERVICES_DOMAIN` and their like say otherwise."""
    prefix = service.upper()
    host = os.environ.get(f"{prefix}_HOSTNAME", service)
    domain = os.environ.get("SERVICES_DOMAIN", "")
    port = os.environ.get(f"{prefix}_SERVICE_PORT", str(PORT))
    return f"http://{host}{'.' + domain if domain else ''}:{port}"


def chosen_headers(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Those of a request's headers that are to go on with the next call."""
    return {name: headers[name] for name in names if name in headers}


def get_json(url: str, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """GET one document. `timeout_s` limits every wait for the other side, not their sum."""
    # Made for each call: which proxy to ask is in the environment, and that is set after this is imported.
    opener = urllib.request.build_opener()
    request = urllib.request.Request(url, headers={"user-agent": "bookinfo", **headers})
    try:
        with opener.open(request, timeout=timeout_s) as response:
            return Answer(response.status, json.loads(response.read()))
    except urllib.error.HTTPError as error:
        error.close()
        return Answer(error.code)
    except (OSError, ValueError):
        return Answer(None)
