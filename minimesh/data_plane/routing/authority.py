"""Where the port begins in a `Host` or `:authority` value."""


def without_port(authority: str) -> str:
    """`a.com:80` -> `a.com`, `[::1]:80` -> `[::1]`; anything whose end is no port stays."""
    colon = authority.rfind(":")
    if colon == -1 or authority.rfind("]") > colon:
        return authority
    if authority.count(":") > 1 and authority[colon - 1 : colon] != "]":
        return authority  # an IPv6 address without brackets
    port = authority[colon + 1 :]
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        return authority
    return authority[:colon]
