"""minimesh: a service mesh that fits on a laptop.

A compiler (`control_plane`: Kubernetes and Istio YAML -> Envoy v3 resources) and an interpreter
(`data_plane`: Envoy v3 resources -> traffic), joined by Envoy's own protobufs over ADS.
"""

__version__ = "0.1.0"
