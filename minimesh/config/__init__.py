"""Configuration: YAML text becomes typed, immutable resources that know where in which file they stand.

`decoding.decode(text, file)` gives resources and diagnostics, and never raises for bad input. `store.Store`
keeps what is applied and hands out immutable snapshots. `validate.check` is both and more, without a mesh.
Nothing here knows Envoy, processes, or sockets.
"""
