"""HTTP/2 at both ends, on the `h2` library.

* `frames`        bytes to frames, and floods of them; `limits`: clients that take back what they ask
* `heads`         header lists to heads and back, no I/O; `hpack_memo` spares reading them again
* `downstream`    a client's connection; `server_events`: what its frames mean; `server_stream`: one request;
                  `server_codec`: `h2` set up for clients; `lifetime`: how it ends
* `upstream`      a connection to a host, and the exchanges it carries at once; `exchange`: one of them;
                  `client_codec`: `h2` set up for hosts; `keepalive`: whether the peer is still there
"""
