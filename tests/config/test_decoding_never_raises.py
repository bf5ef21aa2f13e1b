"""Whatever the text, decoding ends and gives diagnostics with places inside it."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from minimesh.config import validate
from minimesh.config.decoding import decode
from minimesh.config.diagnostics import render

DOCUMENTS = (
    """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, labels: &l {app: web}}
spec:
  hosts: ["*"]
  http:
  - match: [{uri: {prefix: /a}, headers: {a: {regex: ".*"}}}]
    timeout: 5s
    retries: {attempts: 3, retryOn: 5xx}
    route:
    - {destination: {host: web, port: {number: 80}}, weight: 1}
""",
    """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {<<: {app: web}, version: v1}}
    spec:
      containers:
      - {name: web, image: httpbin, ports: [{containerPort: 80}], resources: {limits: {cpu: 1}}}
""",
)
PIECES = ["{}", "[]", "null", "- ", ": ", "&a ", "*a", "<<: ", "\n", "\t", "'", '"', "---\n", "!!int x",
         "9" * 5000,
          "-1", "1e400", ".nan", "~", "\x00", "\ud800", "é", "| ", "? ", "!x ", "yes", "0x", "#"]  # fmt: skip


@given(st.sampled_from(DOCUMENTS), st.integers(0, 2**32), st.integers(1, 8))
@settings(max_examples=300, deadline=None)
def test_mutated_documents(text: str, seed: int, changes: int) -> None:
    chance = random.Random(seed)  # no secret
    for _ in range(changes):
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice([*PIECES, ""]) + text[at + chance.choice([0, 0, 1, 5, 20]) :] or "a"
    diagnostics = decode(text, "f.yaml").diagnostics
    assert all(one.line >= 1 and one.column >= 1 for one in diagnostics)
    assert render(validate.check({"f.yaml": text}), {"f.yaml": text}) is not None


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_any_text(text: str) -> None:
    decode(text, "f.yaml")
