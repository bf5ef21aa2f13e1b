"""Subresources of pods that reach into them: logs, exec, attach, port-forward.

`logs`, `execute`, `attach` and `port_forward` answer kubectl; `container_logs`, `container_commands` and
`container_ports` say what they need of the platform that runs the containers. `channels` are a program's
streams, over WebSocket or SPDY (`spdy`, `spdy_transport`).
"""
