"""Which texts are IP addresses, and not names or ranges."""

from __future__ import annotations


def is_ip_address(text: str) -> bool:
    """Whether it is one address of either family, without brackets, port or prefix."""
    import ipaddress  # late: slow to import, and few who load this module ask

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
