"""Kubernetes Ingress, translated into Istio's Gateway and VirtualService, and its status."""
