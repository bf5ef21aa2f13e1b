"""Rules for host names, addresses and references to gateways, as istiod has them."""

from __future__ import annotations

from minimesh.config.checks.finding import Finding, Findings, is_label
from minimesh.config.diagnostics import Severity
from minimesh.config.ip_addresses import is_ip_address


def is_dns_label(text: str) -> bool:
    """Whether the text is one part of a DNS name, in any case, as istiod takes it."""
    return text.isascii() and is_label(text.lower()) is not None


def _is_first_label(text: str) -> bool:
    """Whether the text is a label, `*`, or a label after `*` or `*-`."""
    return text == "*" or is_dns_label(text.removeprefix("*").removeprefix("-" if text[:1] == "*" else ""))


def is_subnet(text: str) -> bool:
    """Whether the text is an address or an address range such as 10.0.0.0/8."""
    import ipaddress  # late, since few manifests hold addresses and it is slow to import

    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def fqdn_problem(host: str) -> str | None:
    """Why the text is no DNS name, or None. A dot at the end is fine, an all-numeric last label is not."""
    if not host:
        return "empty domain name not allowed"
    if len(host) > 255:
        return f'domain name "{host}" too long (max 255)'
    return _labels_problem(host, host)


def _labels_problem(host: str, labels: str) -> str | None:
    *front, last = labels.split(".")
    if last.isdecimal():
        return f'domain name "{host}" invalid (top level domain "{last}" cannot be all-numeric)'
    if last:
        front.append(last)
    bad = next((label for label in front if not is_dns_label(label)), None)
    return None if bad is None else f'domain name "{host}" invalid (label "{bad}" invalid)'


def wildcard_problem(host: str) -> str | None:
    """Why the text is no DNS name whose first label may begin with `*`, or None."""
    if not host or len(host) > 255:
        return fqdn_problem(host)
    first, dot, rest = host.partition(".")
    if not _is_first_label(first):
        return f'domain name "{host}" invalid (label "{first}" invalid)'
    return _labels_problem(host, rest if dot else first) if dot or "*" not in first else None


def is_partial_wildcard(host: str) -> bool:
    """Whether `*` stands for less than whole labels: `*bar.com`."""
    return "*" in host and host != "*" and not host.startswith("*.")


def matches(one: str, other: str) -> bool:
    """Whether some name is meant by both hosts."""
    if not one.startswith("*") and not other.startswith("*"):
        return one == other
    if one.startswith("*") and other.startswith("*"):
        return one[1:].endswith(other[1:]) or other[1:].endswith(one[1:])
    name, wild = (other, one) if one.startswith("*") else (one, other)
    return name.endswith(wild[1:]) and len(name) >= len(wild)


def is_subset_of(host: str, of: str) -> bool:
    """Whether every name that `host` means is meant by `of` too."""
    if not of.startswith("*"):
        return host == of
    return host.removeprefix("*").endswith(of[1:])


def check_scoped_host(path: str, text: str, *, gateway: bool) -> Findings:
    """`namespace/host` of a Sidecar, where the namespace must be given, or of a Gateway, where it may be."""
    namespace, slash, host = text.partition("/")
    if not slash:
        if not gateway:
            message = f'"{text}" must be of form namespace/dnsName, for example */{text} or ./{text}'
            yield Finding(path, "bad-host", message)
            return
        host = text
    elif not _is_namespace(namespace, gateway=gateway):
        yield Finding(path, "bad-host", f'namespace "{namespace}" invalid: write a name, `*` or `.`')
    if host != "*" and "." not in host and not is_ip_address(host):
        message = f'short names (non FQDN) are not allowed: "{host}" has no dot; write a full name or "*"'
        yield Finding(path, "bad-host", message)
        return
    problem = wildcard_problem(host)
    if problem is not None and not (gateway and is_ip_address(host)):
        yield Finding(path, "bad-host", problem + _wildcard_remedy(host))
    elif is_partial_wildcard(host):
        message = f'partial wildcard "{host}" not allowed; write *.{host.lstrip("*-.")}, or a full name'
        yield Finding(path, "bad-host", message)


def _is_namespace(text: str, *, gateway: bool) -> bool:
    if text in ("*", ".") or is_dns_label(text):
        return True
    return not gateway and text.startswith("~") and (text == "~" or is_dns_label(text[1:]))


def _wildcard_remedy(host: str) -> str:
    return "; `*` may only stand alone or as the first part, as in *.example.com" if "*" in host[1:] else ""


def check_wildcard_host(path: str, host: str) -> Findings:
    """A DNS name of which the first label may begin with `*`."""
    problem = wildcard_problem(host)
    if problem is not None and not is_ip_address(host):
        yield Finding(path, "bad-host", f"is no host name: {problem}{_wildcard_remedy(host)}")


def check_ip(path: str, text: str) -> Findings:
    if not is_ip_address(text):
        yield Finding(path, "bad-address", f"{text} is not a valid IP address")


def check_subnets(path: str, subnets: tuple[str, ...]) -> Findings:
    for index, subnet in enumerate(subnets):
        if not is_subnet(subnet):
            message = f"{subnet} is neither a valid IP address nor a range such as 10.0.0.0/8"
            yield Finding(f"{path}[{index}]", "bad-address", message)


def check_unix_path(path: str, socket: str) -> Findings:
    """The path of a Unix domain socket; an abstract one begins with `@`."""
    if not socket:
        yield Finding(path, "bad-address", "unix address must not be empty")
    elif not socket.startswith("@") and (not socket.startswith("/") or socket.endswith("/")):
        yield Finding(path, "bad-address", f"{socket} is not an absolute path to a file")


def check_gateway_names(path: str, names: tuple[str, ...]) -> Findings:
    """References to Gateways: `namespace/name`, a name in the same namespace, `mesh`, or the dotted form."""
    for index, text in enumerate(names):
        at = f"{path}[{index}]"
        namespace, slash, name = text.partition("/")
        if not slash:
            yield from _plain_gateway(at, text)
        elif not namespace or not name:
            yield Finding(at, "bad-reference", f'"{text}": namespace and gateway name cannot be empty')
        elif not is_dns_label(namespace) or not is_dns_label(name):
            message = f'"{text}" must be the name of a Gateway, `namespace/name`, or `mesh`'
            yield Finding(at, "bad-reference", message)


def _plain_gateway(path: str, name: str) -> Findings:
    problem = fqdn_problem(name)
    if problem is not None:
        message = f'"{name}" must be the name of a Gateway, `namespace/name`, or `mesh`: {problem}'
        yield Finding(path, "bad-reference", message)
    elif "." in name:
        gateway, namespace = name.split(".")[:2]
        message = (
            f'using legacy gatewayName format "{name}"; '
            f'prefer the <namespace>/<name> format: "{namespace}/{gateway}"'
        )
        yield Finding(path, "legacy-format", message, Severity.WARNING)
