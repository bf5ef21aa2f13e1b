"""What Envoy's response flags, and what it writes for the details of a response, mean in words."""

from __future__ import annotations

FLAGS = {
    "DC": "the client closed the connection before the answer was complete",
    "DI": "a fault rule delayed the request",
    "DPE": "the client broke the rules of HTTP",
    "DT": "the request took longer than it may",
    "FI": "a fault rule answered instead of the service",
    "IH": "a header that Envoy itself heeds had a value it does not accept",
    "LR": "the proxy itself broke off",
    "NC": "the route names a cluster that does not exist",
    "NR": "no listener, virtual host or route of the proxy takes this request",
    "RL": "a rate limit refused the request",
    "SI": "nothing happened on the stream for too long",
    "UC": "the upstream closed the connection before it had answered",
    "UF": "no connection to the upstream could be made",
    "UH": "the cluster has no healthy host",
    "UMSDR": "the stream lasted longer than the route allows",
    "UO": "the upstream has as many requests or connections as its circuit breaker allows",
    "UPE": "the upstream broke the rules of HTTP",
    "UR": "the upstream reset the connection",
    "URX": "the tries that the route allows are used up",
    "UT": "the upstream did not answer in time",
}

DETAILS = {
    "absolute_path_rejected": "the request names no path",
    "cluster_not_found": "the route leads to a cluster that does not exist",
    "direct_response": "the route itself is the answer",
    "fault_filter_abort": "a fault rule answered instead of the service",
    "filter_chain_not_found": "no filter chain of the listener takes the connection",
    "low_version": "Envoy does not speak HTTP/1.0 unless it is told to",
    "missing_host_header": "the request has no Host header",
    "no_healthy_upstream": "the cluster has no healthy host",
    "route_not_found": "no route fits",
    "response_timeout": "the upstream did not answer in time",
    "upgrade_failed": "the route does not allow this upgrade",
    "via_upstream": "the answer came from the upstream",
}


def flag_words(flags: str) -> list[str]:
    """What each of comma-joined short flags means, in their order."""
    return [FLAGS.get(flag, "no words for this flag") for flag in flags.split(",") if flag]


def details_words(details: str) -> str:
    """What the details of a response code mean; empty where the word is not known."""
    return DETAILS.get(details.partition("{")[0].partition(":")[0], "")
