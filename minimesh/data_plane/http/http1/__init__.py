"""HTTP/1.1 at both ends.

* `downstream`    a client's connection: bytes to streams, responses to bytes; `lifetime`: its clocks, its end
* `upstream`      a connection to a host, one exchange at a time
* `head`, `request_line`, `status_line`, `body`  the codec, no I/O
"""
