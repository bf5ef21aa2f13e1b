"""How many file descriptors are left, so that listeners stop accepting before there are none.

The event loop accepts connections for which there is no descriptor only to close them, and a listener learns
nothing of it. So connections are counted down from what the process has left, and only when that count is
used up the descriptors are counted anew.
"""

from __future__ import annotations

import os
import resource

#: What connections leave to others: those to upstreams, files, whatever opens one for a moment. As a share
#: of all, and in numbers.
_KEPT_SHARE, _KEPT_LEAST, _KEPT_MOST = 1 / 32, 8, 64


def spare_descriptors() -> int:
    """How many more connections may be accepted; 0 or less: none."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return 1 << 20
    try:
        used = len(os.listdir("/dev/fd"))
    except FileNotFoundError:  # a container without it: whoever mounts nothing has no more to tell
        return 1 << 20
    except OSError:  # the listing needs one itself
        used = limit
    return limit - used - kept_descriptors(limit)


def kept_descriptors(limit: int) -> int:
    """How many of `limit` connections of clients never take."""
    return max(_KEPT_LEAST, min(_KEPT_MOST, int(limit * _KEPT_SHARE)))


class DescriptorBudget:
    """Of one process, for all its listeners."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        #: Connections that may be accepted until somebody has to look again. Counted down by who accepts.
        self.left = 0

    def is_used_up(self) -> bool:
        """Look again: whether none may be accepted for now."""
        # Half: each may need another to its upstream, and all else goes on meanwhile.
        spare = spare_descriptors()
        self.left = max(0, spare // 2)
        return spare <= 0


BUDGET = DescriptorBudget()
