"""What is compared, after the masks: each mask hides what differs from run to run, or between two machines.

* times: `date` (but the year 2001, which is an upstream's), the log's time and durations, service times;
* ports: those of the file get their names, all others are `<eph>`;
* request ids that the proxy made (any UUID);
* the addresses of x-forwarded-for that are the proxy's own: for a client on loopback Envoy appends its
  machine's interface address, ours 127.0.0.1;
* what is left of a timeout, in x-envoy-expected-rq-timeout-ms (whatever is no multiple of 50);
* whether a connection was closed or reset, which depends on the bytes still under way (in `client`);
* the cuts of chunked bodies (in `client.readable` and in the upstream);
* the GOAWAY that tells why a connection is closed (RFC 9113, 5.4.1): Envoy mostly says nothing to clients and
  something to upstreams, minimesh the other way round;
* the order of :method, :path, :scheme and :authority, and where cookie and x-request-id stand among the other
  headers of HTTP/2 (in `frames`);
* what `statistics` says of the counters.

Texts above a few KB are shown by their ends and their digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

_DATE = re.compile(r"(date: )[A-Z][a-z]{2}, (?!01 Jan 2001)[^\r]*")
_LONG = 2000
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SERVICE_TIME = re.compile(r"(x-envoy-upstream-service-time: )\d+")
_TIMEOUT = re.compile(r"(?<=x-envoy-expected-rq-timeout-ms: )\d+")
_PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+")
_TRIES = re.compile(r"(x-envoy-attempt-count: )\d+")
_LOG_LINE = re.compile(
    r'^\[[^]]*\] (?P<before>".*" \d+ \d+) \d+ (?P<service>\d+|-) "(?P<forwarded>[^"]*)" (?P<after>.*)$'
)
_UPSTREAM_FORWARDED = re.compile(r"(?<=\r\nx-forwarded-for: )[^\r]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Observation:
    """One case at one proxy. Each field is a tuple of texts, masked."""

    answers: tuple[str, ...]
    connection: tuple[str, ...]
    upstream: tuple[str, ...]
    log: tuple[str, ...]
    json_log: tuple[str, ...]
    #: What the case added to the statistics.
    counted: tuple[str, ...]

    def differences(self, other: Observation) -> list[str]:
        """For each field that differs, what only this one has (-), and what only the other has (+)."""
        found = []
        for field in fields(self):
            here, there = getattr(self, field.name), getattr(other, field.name)
            if here != there:
                ours = "".join(f"\n    - {each}" for each in here if each not in there)
                theirs = "".join(f"\n    + {each}" for each in there if each not in here)
                found.append(f"{field.name}:{ours}{theirs}")
        return found


@dataclass(frozen=True, slots=True)
class Masks:
    """The masks of one proxy: `ports` by name, and the address that it calls its own."""

    ports: Mapping[str, int]
    own_address: str

    def text(self, text: str, *, tries_vary: bool = False) -> str:
        """A request or an answer."""
        text = _DATE.sub(r"\1<now>", _UUID.sub("<uuid>", text))
        text = _SERVICE_TIME.sub(r"\1<ms>", text)
        text = _TIMEOUT.sub(lambda found: "<rest>" if int(found[0]) % 50 else found[0], text)
        text = _UPSTREAM_FORWARDED.sub(lambda found: self._forwarded(found[0]), text)
        text = _TRIES.sub(r"\1<n>", text) if tries_vary else text
        return text if len(text) <= _LONG else _shortened(text)

    def facts(self, line: str) -> list[str]:
        """What a line of the JSON log says, one text a fact: only what is known is shown."""
        known = {key: value for key, value in json.loads(line).items() if value is not None}
        del known["client"]
        names = {str(port): f"<{name}>" for name, port in self.ports.items()}
        shown = []
        for key, value in sorted(known.items()):
            if key.endswith(("_ms", "_port")):
                shown.append(f"{key}: <number>")
                continue
            text = _PORT.sub(lambda port: names.get(port[0], "<eph>"), json.dumps(value))
            shown.append(f"{key}: {text}")
        return shown

    def line(self, line: str) -> str:
        """A line of the access log, without the client's port that comes first."""
        found = _LOG_LINE.match(_UUID.sub("<uuid>", line))
        if found is None:
            return f"not a line of Istio's format: {line}"
        service = "-" if found["service"] == "-" else "<ms>"
        forwarded = self._forwarded(found["forwarded"])
        names = {str(port): f"<{name}>" for name, port in self.ports.items()}
        after = _PORT.sub(lambda port: names.get(port[0], "<eph>"), found["after"])
        return f'[t] {found["before"]} <ms> {service} "{forwarded}" {after}'

    def _forwarded(self, value: str) -> str:
        return ",".join("<host>" if each == self.own_address else each for each in value.split(","))


def _shortened(text: str) -> str:
    digest = hashlib.sha256(text.encode("latin-1")).hexdigest()[:16]
    return f"{text[: _LONG // 2]}<{len(text)} in all, of digest {digest}>{text[-_LONG // 4 :]}"
