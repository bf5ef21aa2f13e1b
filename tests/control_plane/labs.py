"""The two workshop labs as manifests, with the pods a platform would have started for them."""

from __future__ import annotations

from tests.control_plane.meshes import INGRESS_GATEWAY, running_pod

GS_LAB = """
apiVersion: v1
kind: Service
metadata: {name: gsservice}
spec:
  selector: {app: gsapp}
  ports:
  - {name: http, port: 80, targetPort: 5000}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gs-gateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [gs.xebia.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: gsservice}
spec:
  hosts: [gs.xebia.com]
  gateways: [gs-gateway]
  http:
  - route:
    - destination: {host: gsservice, subset: v1}
      weight: 0
    - destination: {host: gsservice, subset: v2}
      weight: 100
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: gsservice}
spec:
  host: gsservice
  subsets:
  - {name: v1, labels: {version: V1}}
  - {name: v2, labels: {version: V2}}
"""

GS_PODS = (
    running_pod("gsapp-v1-1", "127.10.0.11", {"app": "gsapp", "version": "V1"}, {"http": 5000}),
    running_pod("gsapp-v2-1", "127.10.0.12", {"app": "gsapp", "version": "V2"}, {"http": 5000}),
)

HTTPBIN_LAB = """
apiVersion: v1
kind: Service
metadata: {name: httpbin, labels: {app: httpbin}}
spec:
  clusterIP: 10.96.0.10
  selector: {app: httpbin}
  ports:
  - {name: http, port: 8000, targetPort: 80}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin-2, labels: {app: httpbin-2}}
spec:
  clusterIP: 10.96.0.11
  selector: {app: httpbin-2}
  ports:
  - {name: http, port: 8000, targetPort: 80}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: httpbin-gateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: ["*"]
  gateways: [httpbin-gateway]
  http:
  - match:
    - uri: {prefix: /one}
    rewrite: {uri: /ip}
    route:
    - destination: {host: httpbin, port: {number: 8000}}
  - match:
    - uri: {prefix: /two}
    rewrite: {uri: /user-agent}
    route:
    - destination: {host: httpbin-2, port: {number: 8000}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin}
spec:
  host: httpbin
  trafficPolicy:
    loadBalancer: {simple: LEAST_CONN}
"""

HTTPBIN_PODS = (
    running_pod("httpbin-1", "127.10.0.21", {"app": "httpbin"}, {"http": 80}),
    running_pod("httpbin-2-1", "127.10.0.22", {"app": "httpbin-2"}, {"http": 80}),
)

GATEWAY = INGRESS_GATEWAY
