"""The Kubernetes API: what the real kubectl and istioctl talk to, over the store of `minimesh.config`.

A small, true subset of an API server. `api_server` listens; `access` decides who may ask; `request_info` says
what a path means; `admission` judges and `registry` acts on the store, with `patching` knowing who manages
what; `discovery`, `schemas`, `tables` and `watch` shape the answers; `pods` reaches into containers.
`controllers` do what a controller manager does, over the same store.
"""
