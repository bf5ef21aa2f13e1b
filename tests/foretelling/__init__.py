"""What explain foretells is what the proxy then does: generated configurations and requests, on both engines.

generation   hypothesis strategies: Gateways, VirtualServices, DestinationRules, Services, pods; and requests
foretold     what explain says of a request, reduced to what can be seen from outside
in_memory    our proxy, compiled from what the control plane makes of the files, between transports in memory
on_envoy     the real Envoy with the same resources, and an upstream that tells what it was asked
"""
