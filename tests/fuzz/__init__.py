"""Differential fuzzing: whatever bytes come in, a request is one request to everybody.

llhttp       the judge: node's HTTP/1 parser, strict
wire         our data plane between transports in memory: any bytes, cut anywhere, no sockets
properties   what must hold of any bytes (pure: bytes in, AssertionError out)
grammar      hypothesis strategies: HTTP/1 with something wrong
cases/       every input that once broke a property, and some that came close
atheris_*    the same properties under a coverage-guided fuzzer: `python -m tests.fuzz.atheris_http1`
"""
