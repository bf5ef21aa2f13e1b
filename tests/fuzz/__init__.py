"""Differential fuzzing: whatever bytes come in, a request is one request to everybody.

llhttp       the judge: node's HTTP/1 parser, strict
wire         our data plane between transports in memory: any bytes, cut anywhere, no sockets
sockets      the running proxy and the real Envoy side by side
properties   what must hold of any bytes (pure: bytes in, AssertionError out); http2_properties
grammar      hypothesis strategies: HTTP/1 with something wrong; http2_grammar
cases/       every input that once broke a property, and some that came close
atheris_*    the same properties under a coverage-guided fuzzer
__main__     all of them for some minutes: `python -m tests.fuzz MINUTES`, which is `make fuzz`
"""
