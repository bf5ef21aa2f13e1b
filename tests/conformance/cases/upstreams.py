"""What becomes of requests by their hosts: ejected, unhealthy, too busy, chosen by hash or by subset."""

from __future__ import annotations

from tests.conformance.case import OK, Answer, Case
from tests.conformance.cases import http2
from tests.conformance.cases.requests import RESET, answer, get, slow, status
from tests.conformance.frames import Await, Pause, Step


def _asks(cluster: str, times: int = 4, *headers: tuple[str, str], path: str = "x") -> tuple[Step, ...]:
    """Requests one after the other; in between the proxy may come to a judgement of its hosts."""
    asked: list[Step] = []
    for stream in range(1, 2 * times, 2):
        asked += (*http2.get(f"/{cluster}/{path}", *headers, stream=stream), Await(stream), Pause(0.02))
    return tuple(asked)


def _outlier(name: str, cluster: str, first: tuple[Answer, ...], times: int = 4) -> Case:
    """The first answers, then plain ones."""
    return Case(f"outlier: {name}", _asks(cluster, times), first[0], later=(*first[1:], OK))


_503, _500, _504 = status(503), status(500), status(504)
_BAD_CALL = answer("200 OK", "Content-Type: application/grpc", "grpc-status: 14", "Content-Length: 0")

_OUTLIERS = (
    _outlier("two 503 of the only host", "consecutive-one", (_503, _503)),
    _outlier("may not be ejected", "consecutive-spared", (_503, _503)),
    _outlier("a good answer between", "consecutive-broken", (_503, OK, _503)),
    _outlier("not enforced", "consecutive-log", (_503, _503)),
    _outlier("two gateway failures", "gateway-errors", (_503, _504)),
    _outlier("500 is no gateway failure", "gateway-errors-500", (_500, _500)),
    Case("outlier: resets", _asks("resets"), RESET),
    Case("outlier: refused, split", _asks("local")),
    Case("outlier: refused, not split", _asks("not-split")),
    _outlier("503 where local errors are apart", "local-5xx", (_503, _503)),
    Case("outlier: gRPC", _asks("grpc-outlier", 4, ("content-type", "application/grpc")), _BAD_CALL),
    Case("outlier: none left, no panic", _asks("no-panic-outlier", 3), _503),
)

_HEALTH = (
    *(
        Case(f"health: {name}", _asks(name))
        for name in ("unhealthy", "unhealthy-no-panic", "draining", "degraded-all", "panic-fails")
    ),
    Case("health: the only host", _asks("unhealthy-all")),
    Case("health: a degraded host gets what is too much for others", get("/degraded/x"), in_turn=40),
)

_BREAKERS = (
    Case("breaker: nothing may wait", _asks("pending", 1)),
    Case("breaker: one connection, one waits", get("/connections/x"), slow(0.1), at_once=3),
    Case("breaker: no connection", _asks("connections-none", 1)),
    Case("breaker: one request", get("/requests/x"), slow(0.1), at_once=2),
    Case("breaker: no retry", _asks("retries", 1), _503),
    Case("breaker: a budget that is enough", _asks("budget", 1), _503, later=(OK,)),
    Case("breaker: a budget of nothing", _asks("budget-none", 1), _503, later=(OK,)),
    Case("breaker: what remains is counted", _asks("remaining", 1)),
    Case("breaker: another priority's", _asks("other-priority", 1)),
)

_BY_HEADER = tuple(
    Case(f"hash: {cluster} of {key}", _asks(cluster, 2, ("x-key", key)))
    for cluster in ("ring", "ring-small", "ring-murmur", "maglev", "maglev-small")
    for key in ("a", "b", "c", "user-1", "user-2", "user-3", "")
)
_HASHES = (
    *_BY_HEADER,
    *(
        Case(f"hash: query {query}", _asks("ring-query", 2, path=f"x?{query}"))
        for query in ("k=1", "k=2", "k=3", "k=", "a=b&k=x")
    ),
    Case("hash: the first that tells", _asks("ring-two", 2, ("x-key", "a"), path="x?k=1")),
    Case("hash: the second, as the first is absent", _asks("ring-two", 2, path="x?k=1")),
    *(Case(f"hash: cookie {value}", _asks("ring-cookie", 2, ("cookie", f"c={value}"))) for value in "123"),
)

_PRIORITIES = (
    Case("priority: the first", _asks("priorities")),
    Case("priority: the second, as the first is unhealthy", _asks("spill")),
    Case("priority: refused is not unhealthy", _asks("spill-refused")),
    Case("priority: the second, as the first is ejected", _asks("spill-outlier", 2), _503, later=(OK,)),
    Case("priority: none is healthy", get("/spill-none/x"), in_turn=8),
)

_SUBSETS = (
    *(
        Case(f"subset: {name}", _asks(f"subset-{name}"))
        for name in ("1", "2", "none", "any", "default", "unasked", "unhealthy")
    ),
)

#: By cluster: how many hosts must be found healthy before it is asked.
_CHECKED = {
    "checked": 1,
    "failing": 0,
    "failing-no-panic": 0,
    "one-fails": 1,
    "recovers": 1,
    "recovers-slowly": 1,
    "falls": 0,
    "other-status": 1,
    "no-connection": 0,
    "tcp": 1,
    "tcp-refused": 0,
    "spills": 1,
}
HEALTH_CHECKS = tuple(
    Case(f"checks: {name}", _asks(name, 2), once=(f"cluster.{name}.membership_healthy", healthy))
    for name, healthy in _CHECKED.items()
)

CASES = (*_OUTLIERS, *_HEALTH, *_BREAKERS, *_HASHES, *_PRIORITIES, *_SUBSETS)
