"""Configurations and requests that have much to do with each other, so that every outcome comes up often."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from minimesh.explain.patches import as_yaml
from minimesh.explain.question import Question

HOSTS = ["a.example.com", "b.example.com", "*.example.com", "*", "a.example.org"]
#: Of one resource; one may not have a host twice.
_HOST_LISTS = [
    ["*"],
    ["*"],
    ["*.example.com"],
    ["*.example.com"],
    ["a.example.com"],
    ["a.example.com", "b.example.com"],
    ["a.example.org", "b.example.com"],
]
PATHS = [
    "/",
    "/one",
    "/onetwo",
    "/one/two",
    "/One",
    "/one/",
    "/two?debug=1",
    "/two/..//one",
    "/%6fne",
    "/x?q=",
    "//one",
]
_NAMES = ["end-user", "x-tag"]
_VALUES = ["jason", "Jason", "", "a,b"]

_PORT = {"number": 80, "name": "http", "protocol": "HTTP"}
_STRINGS = st.one_of(
    st.sampled_from(_VALUES[:2]).map(lambda value: {"exact": value}),
    st.sampled_from(["j", "a"]).map(lambda value: {"prefix": value}),
    st.sampled_from(["j.*", "[a-z,]+"]).map(lambda value: {"regex": value}),
    st.just({}),
)
_URIS = st.one_of(
    st.sampled_from(["/", "/one", "/one/", "/two", "/o"]).map(lambda value: {"prefix": value}),
    st.sampled_from(["/", "/one", "/two", "/x"]).map(lambda value: {"exact": value}),
    st.sampled_from(["/o.*", "/(one|two)", ".*"]).map(lambda value: {"regex": value}),
)
_MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "uri": _URIS,
        "ignoreUriCase": st.booleans(),
        "method": st.sampled_from(["GET", "POST"]).map(lambda value: {"exact": value}),
        "headers": st.dictionaries(st.sampled_from(_NAMES), _STRINGS, min_size=1, max_size=2),
        "withoutHeaders": st.dictionaries(st.sampled_from(_NAMES), _STRINGS, min_size=1, max_size=1),
        "queryParams": st.just({"debug": {"exact": "1"}}),
        "authority": st.sampled_from(["a.example.com", "a.example.com:8080"]).map(
            lambda value: {"exact": value}
        ),
    },
).filter(bool)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "request": st.fixed_dictionaries(
            {},
            optional={
                "set": st.just({"x-tag": "set"}),
                "add": st.just({"x-tag": "added"}),
                "remove": st.just(["end-user"]),
            },
        )
    },
)
_DESTINATIONS = st.one_of(
    st.sampled_from(["web", "web", "api", "ghost", "nowhere"]).map(lambda host: {"host": host}),
    st.sampled_from(["v1", "v2", "v3"]).map(lambda subset: {"host": "web", "subset": subset}),
    st.sampled_from([80, 8000, 9999]).map(lambda port: {"host": "several", "port": {"number": port}}),
    st.just({"host": "several"}),
)


@st.composite
def _routes(draw: st.DrawFn) -> dict[str, Any]:
    """What a rule does."""
    kind = draw(st.sampled_from(["forward"] * 6 + ["weighted", "weighted", "redirect", "answer"]))
    if kind == "redirect":
        return {
            "redirect": draw(
                st.sampled_from([{"uri": "/new"}, {"authority": "new.example.com"}, {"scheme": "https"}])
            )
        }
    if kind == "answer":
        return {
            "directResponse": {"status": draw(st.sampled_from([200, 403, 503])), "body": {"string": "said"}}
        }
    if kind == "weighted":
        weights = draw(st.sampled_from([(0, 100), (100, 0), (50, 50), (1, 3)]))
        route = [{"destination": draw(_DESTINATIONS), "weight": weight} for weight in weights]
    else:
        route = [{"destination": draw(_DESTINATIONS)}]
    found: dict[str, Any] = {"route": route}
    found |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "rewrite": st.sampled_from([{"uri": "/"}, {"uri": "/new"}, {"authority": "up.example.com"}]),
                "headers": _HEADERS,
                "fault": st.sampled_from([0, 50, 100]).map(
                    lambda share: {"abort": {"httpStatus": 418, "percentage": {"value": share}}}
                ),
            },
        )
        if draw(st.booleans())
        else st.just({})
    )
    return found


@st.composite
def _rules(draw: st.DrawFn) -> dict[str, Any]:
    matches = draw(st.lists(_MATCHES, max_size=2))
    return ({"match": matches} if matches else {}) | draw(_routes())


@st.composite
def _virtual_services(draw: st.DrawFn, number: int) -> dict[str, Any]:
    in_mesh = draw(st.booleans())
    hosts = ["web"] if in_mesh else draw(st.sampled_from(_HOST_LISTS))
    gateways = ["mesh"] if in_mesh else draw(
        st.lists(st.sampled_from(["gw", "gw", "later", "other/gw"]), min_size=1, max_size=2, unique=True)
    )  # fmt: skip
    spec = {"hosts": hosts, "gateways": gateways, "http": draw(st.lists(_rules(), min_size=1, max_size=4))}
    return _document("networking.istio.io/v1", "VirtualService", f"rules-{number}", spec)


@st.composite
def configurations(draw: st.DrawFn) -> str:
    """A whole configuration as YAML; what istiod would refuse is among it now and then."""
    gateways = [_gateway("gw", draw(st.sampled_from(_HOST_LISTS)))]
    if draw(st.booleans()):
        gateways.append(_gateway("later", [draw(st.sampled_from(HOSTS))]))
    rules = [draw(_virtual_services(number)) for number in range(draw(st.integers(1, 3)))]
    subsets = [{"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "V2"}}]
    destination = {"host": "web", "subsets": draw(st.sampled_from([subsets, subsets[:1]]))}
    rule = _document("networking.istio.io/v1", "DestinationRule", "web", destination)
    return as_yaml([*_SERVICES, *_PODS, *gateways, *rules, *([rule] if draw(st.integers(0, 3)) else [])])


@st.composite
def requests(draw: st.DrawFn, *, in_mesh: bool = True) -> Question:
    """A request at the gateway, or from a pod."""
    headers = draw(st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_VALUES)), max_size=2))
    source = "sleep" if in_mesh and not draw(st.integers(0, 3)) else ""
    hosts = ["a.example.com", "b.example.com", "a.example.com:8080", "A.Example.com", "c.org"]
    authority = draw(st.sampled_from(["web", "web:80", "api", "ghost"] if source else hosts))
    return Question(
        method=draw(st.sampled_from(["GET", "GET", "POST", "HEAD"])),
        scheme="http",
        host=authority.partition(":")[0] if source else "localhost",
        port=80 if source else 8080,
        target=draw(st.sampled_from(PATHS)),
        authority=authority,
        headers=tuple(headers),
        source=source,
    )


def _document(api_version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _gateway(name: str, hosts: list[str]) -> dict[str, Any]:
    servers = [{"port": _PORT, "hosts": hosts}]
    return _document(
        "networking.istio.io/v1",
        "Gateway",
        name,
        {"selector": {"istio": "ingressgateway"}, "servers": servers},
    )


def _service(name: str, app: str, ports: tuple[int, ...] = (80,)) -> dict[str, Any]:
    listed = [{"name": f"http-{port}", "port": port, "targetPort": 5000} for port in ports]
    return _document("v1", "Service", name, {"selector": {"app": app}, "ports": listed})


def _pod(name: str, labels: dict[str, str]) -> dict[str, Any]:
    containers = [{"name": "app", "image": "minimesh/gsservice:v1", "ports": [{"containerPort": 5000}]}]
    found = _document("v1", "Pod", name, {"containers": containers})
    found["metadata"]["labels"] = labels
    return found


_SERVICES = [
    _service("web", "web"),
    _service("api", "api"),
    _service("ghost", "nobody"),
    _service("several", "web", (8000, 8001)),
]
_PODS = [
    _pod("web-1", {"app": "web", "version": "v1"}),
    _pod("web-2", {"app": "web", "version": "v2"}),
    _pod("api-1", {"app": "api"}),
    _pod("sleep", {"app": "sleep"}),
]
