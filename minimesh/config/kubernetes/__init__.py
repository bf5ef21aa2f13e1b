"""The Kubernetes kinds, as dataclasses whose annotations are their schema."""
