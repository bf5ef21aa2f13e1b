"""The Gateway API, translated into Istio's Gateway and VirtualService, and the status of its objects."""
