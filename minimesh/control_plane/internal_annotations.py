"""istiod's own annotations on what it makes of Ingresses and of the Gateway API."""

from __future__ import annotations

ROUTE_SEMANTICS = "internal.istio.io/route-semantics"
"""On a VirtualService: `ingress` or `gateway`, whose prefixes end at path segments."""
GATEWAY_SEMANTICS = "internal.istio.io/gateway-semantics"
GATEWAY_SERVICE = "internal.istio.io/gateway-service"
"""On a Gateway: the host names of the services whose pods serve it, in place of a selector."""
SERVICE_ACCOUNT = "internal.istio.io/service-account-name"
PARENTS = "internal.istio.io/parents"
"""What it was made of: `HTTPRoute/name.namespace`, several with commas between."""
