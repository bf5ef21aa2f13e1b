"""The ports that Istio gives its proxies, each at the proxy's own address."""

from __future__ import annotations

ADMIN_PORT = 15000
"""Envoy's admin API."""
OUTBOUND_PORT = 15001
"""Where iptables would send what an application calls."""
INBOUND_PORT = 15006
"""Where iptables would send what calls the application."""
HEALTH_PORT = 15021
"""Whether the proxy is ready: what kubelets probe."""
HTTP_PROXY_PORT = 15080
"""The explicit HTTP proxy, on the pod's localhost (mesh setting `proxyHttpPort`)."""
METRICS_PORT = 15090
"""What Prometheus scrapes."""
