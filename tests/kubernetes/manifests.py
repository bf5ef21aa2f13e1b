"""Manifests that tests apply."""

from __future__ import annotations

WEB = """
apiVersion: v1
kind: Service
metadata:
  name: web
  labels: {app: web}
spec:
  selector: {app: web}
  ports:
  - name: http
    port: 80
    targetPort: 8080
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: example/web:1
        ports:
        - containerPort: 8080
"""

ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: web
spec:
  hosts: [web]
  http:
  - route:
    - destination: {host: web}
"""

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: sleep
  labels: {app: sleep}
spec:
  containers:
  - name: sleep
    image: example/sleep:1
  - name: istio-proxy
    image: example/proxy:1
"""

WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: widgets.example.org
spec:
  group: example.org
  names: {kind: Widget, plural: widgets, shortNames: [wd]}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What a widget is like.
            properties:
              size: {type: integer, description: How large it is.}
"""

GADGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gadgets.example.org
spec:
  group: example.org
  names: {kind: Gadget, plural: gadgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns:
    - {name: Mode, type: string, jsonPath: .spec.mode}
    - {name: Free, type: boolean, jsonPath: .spec.free, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1, maximum: 9}
              mode: {type: string, enum: [slow, fast], default: slow}
              name: {type: string, pattern: "^[a-z]+$", maxLength: 5}
              free: {type: boolean}
              parts: {type: array, maxItems: 2, items: {type: string}}
              anything: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""

BOTH_GATEWAYS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: front
spec:
  selector: {istio: ingressgateway}
  servers:
  - hosts: ["*"]
    port: {number: 80, name: http, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: front
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 80, protocol: HTTP}
"""
