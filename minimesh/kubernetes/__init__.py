"""The Kubernetes API: what the real kubectl and istioctl talk to, over the store of `minimesh.config`.

A small, true subset of an API server. `api_server` listens; `access` decides who may ask; `request_info`
says what a path means; `admission` judges and `registry` acts on the store, with `managed_fields` knowing
who manages what; `discovery`, `openapi`, `tables` and `watch` shape the answers. `controllers` do what a
controller manager does, over the same store.
"""
