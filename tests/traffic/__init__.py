"""Traffic through what the control plane translates, by our own proxy and by the real Envoy."""
