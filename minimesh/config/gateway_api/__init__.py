"""The kinds of the Kubernetes Gateway API as message classes (`gateway.networking.k8s.io`)."""
