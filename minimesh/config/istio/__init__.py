"""The Istio kinds, as dataclasses whose annotations are their schema."""
