"""What is asked: one request, who sends it, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


class QuestionError(ValueError):
    """A request that cannot be asked about; the text says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request as a client would send it.

    `host` and `port` are where the client connects to (as the URL says), `authority` is the Host header.
    `headers` are the others, names as written. `via` names the gateway that it comes in by, `source` the pod
    or workload that sends it (`POD`, `NAME` or `NAMESPACE/NAME`); one of the two at most.
    """

    method: str
    scheme: str
    host: str
    port: int
    target: str
    authority: str
    headers: tuple[tuple[str, str], ...] = ()
    via: str = ""
    source: str = ""

    @classmethod
    def parse(
        cls,
        method: str,
        url: str,
        headers: tuple[str, ...] = (),
        *,
        via: str = "",
        source: str = "",
    ) -> Question:
        """Read a URL and `NAME: VALUE` headers, as curl takes them. Raises QuestionError."""
        if via and source:
            raise QuestionError("a request comes by a gateway (--via) or from a pod (--from), not both")
        text = url if "://" in url else f"http://{url}"
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise QuestionError(f"{url!r} is no URL: {error}") from None
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise QuestionError(f"{url!r} is no URL of http or https")
        if any(each.isspace() for each in url):
            raise QuestionError(f"{url!r} has a space, which no URL can have: write %20")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        given = [_header(each) for each in headers]
        hosts = [value for name, value in given if name.lower() == "host"]
        return cls(
            method=method.upper(),
            scheme=parts.scheme,
            host=parts.hostname,
            port=port or _DEFAULT_PORTS[parts.scheme],
            target=target,
            authority=hosts[-1] if hosts else parts.netloc.rpartition("@")[2],
            headers=tuple((name, value) for name, value in given if name.lower() != "host"),
            via=via,
            source=source,
        )

    @property
    def url(self) -> str:
        """The URL that the client connects to."""
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.target}"

    @property
    def curl(self) -> str:
        """The command that sends it, where the names of its URL lead there."""
        return self.curl_to(self.host, self.port)

    def curl_to(self, host: str, port: int) -> str:
        """The command that sends it to another host and port."""
        words = ["curl", "-i"]
        if self.method != "GET":
            words += ["-X", self.method]
        given = "" if port == _DEFAULT_PORTS[self.scheme] else f":{port}"
        if self.scheme == "https" and host != self.host:  # the server name is that of the URL
            words += ["-k", "--connect-to", f"::{host}:{port}"]
            host, given = self.host, "" if self.port == 443 else f":{self.port}"
        if self.authority != f"{host}{given}":
            words += ["-H", f"'Host: {self.authority}'"]
        for name, value in self.headers:
            words += ["-H", f"'{name}: {value}'"]
        url = f"{self.scheme}://{host}{given}{self.target}"
        return " ".join([*words, f"'{url}'" if "?" in url else url])


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not separator or not name.strip():
        raise QuestionError(f"{text!r} is no header: write NAME: VALUE")
    if any(character in text for character in "\r\n"):
        raise QuestionError(f"{text!r} has a line end, which no header can have")
    return name.strip(), value.strip()
