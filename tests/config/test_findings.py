"""What is wrong with a text, and exactly where. Each case: a text, and the finding that it must lead to."""

import pytest

from minimesh.config.decoding import decode
from minimesh.config.diagnostics import Diagnostic, Severity, render

VIRTUAL_SERVICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: web
spec:
  hosts: [web]
  http:
"""
DESTINATION_RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: web
spec:
"""
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: web
spec:
  selector: {istio: ingressgateway}
  servers:
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
"""
ROUTE = "    route: [{destination: {host: web}}]\n"


def errors(text: str) -> list[Diagnostic]:
    return [one for one in decode(text, "f.yaml").diagnostics if one.severity is Severity.ERROR]


# text, line, column, field, code, suggestion, a word of the message
CASES = {
    "YAML: a tab": ("a:\n\tb: 1\n", 2, 1, "", "yaml-syntax", None, "tabs"),
    "YAML: a colon too many": ("a: b: c\n", 1, 5, "", "yaml-syntax", None, "indentation"),
    "YAML: a bracket open": ("a: [1\nb: 2\n", 2, 2, "", "yaml-syntax", None, "not valid YAML"),
    "YAML: a star without quotes": ("hosts: *all\n", 1, 8, "", "yaml-syntax", None, "quotes"),
    "not a map": ("- a\n", 1, 1, "", "not-a-map", None, "a list"),
    "kind missing": ("apiVersion: v1\n", 1, 1, "kind", "missing-field", None, "is missing"),
    "kind misspelt as a field": (
        "apiVersion: v1\nKind: Service\n", 1, 1, "kind", "missing-field", "Kind", "is missing",
    ),
    "apiVersion missing": ("kind: Service\n", 1, 1, "apiVersion", "missing-field", None, "`apiVersion: v1`"),
    "unknown kind": (
        "apiVersion: networking.istio.io/v1\nkind: VirtualServices\nmetadata: {name: a}\n",
        2, 7, "kind", "unknown-kind", "VirtualService", "unknown kind",
    ),
    "wrong version": (
        "apiVersion: networking.istio.io/v2\nkind: Gateway\nmetadata: {name: a}\n",
        1, 13, "apiVersion", "unknown-api-version", "networking.istio.io/v1", "write one of",
    ),
    "name missing": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  labels: {}\n",
        3, 1, "metadata.name", "missing-field", None, "needs a name",
    ),
    "metadata missing": (
        "apiVersion: v1\nkind: ConfigMap\n", 1, 1, "metadata", "missing-field", None, "is missing",
    ),
    "bad name": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: My_Config}\n",
        3, 18, "metadata.name", "bad-name", "my-config", "lower case",
    ),
    "bad label value": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {team: the best}}\n",
        3, 36, "metadata.labels.team", "bad-label", None, "label value",
    ),
    "label that is a number": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {version: 1.0}}\n",
        3, 39, "metadata.labels.version", "wrong-type", '"1.0"', "must be a string, not the number 1.0",
    ),
    "unknown top-level field": (
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\nsepc: {}\n",
        4, 1, "sepc", "unknown-field", "spec", "unknown field",
    ),
    "field of spec at the top level": (
        SERVICE + "  ports: [{port: 80}]\nselector: {app: web}\n",
        7, 1, "selector", "unknown-field", None, "belongs under spec",
    ),
    "given twice": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nkind: Secret\n",
        4, 1, "kind", "duplicate-key", None, "first in line 2",
    ),
    "unknown field": (
        VIRTUAL_SERVICE + "  - rout: []\n",
        8, 5, "spec.http[0].rout", "unknown-field", "route", "unknown field",
    ),
    "field one level too deep": (
        VIRTUAL_SERVICE + "  - route:\n    - destination: {host: web}\n      timeout: 5s\n",
        10, 7, "spec.http[0].route[0].timeout", "unknown-field", None, "belongs directly under spec.http[0]",
    ),
    "a map where a list is meant": (
        VIRTUAL_SERVICE + "    route: {}\n",
        8, 5, "spec.http", "wrong-type", None, "begin each item with `- `",
    ),
    "a string where a number is meant": (
        GATEWAY + '  - {hosts: ["*"], port: {number: "80", name: http, protocol: HTTP}}\n',
        8, 35, "spec.servers[0].port.number", "wrong-type", "80", "remove the quotes",
    ),
    "nothing where a value is meant": (
        VIRTUAL_SERVICE + "  - route: [{destination: {host: web}}]\n    timeout:\n",
        9, 13, "spec.http[0].timeout", "wrong-type", None, "remove the line",
    ),
    "a word that is no choice": (
        DESTINATION_RULE + "  host: web\n  trafficPolicy: {loadBalancer: {simple: least_conn}}\n",
        7, 42, "spec.trafficPolicy.loadBalancer.simple", "bad-value", "LEAST_CONN", "must be one of",
    ),
    "a number that is no duration": (
        VIRTUAL_SERVICE + "  - timeout: 5\n" + ROUTE,
        8, 14, "spec.http[0].timeout", "bad-duration", "5s", "the number 5",
    ),
    "a word that is no duration": (
        VIRTUAL_SERVICE + "  - timeout: 5 sec\n" + ROUTE,
        8, 14, "spec.http[0].timeout", "bad-duration", "5s", "such as 10s",
    ),
    "not base64": (
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata:\n  password: p@ss\n",
        5, 13, "data.password", "bad-base64", None, "stringData",
    ),
    "no hosts": (
        VIRTUAL_SERVICE.replace("hosts: [web]", "tcp: [{route: [{destination: {host: web}}]}]") + "    []\n",
        5, 1, "spec.hosts", "missing-field", None, "list the hosts",
    ),
    "a route that does nothing": (
        VIRTUAL_SERVICE + "  - name: a\n", 8, 5, "spec.http[0]", "no-action", None, "directResponse",
    ),
    "two actions": (
        VIRTUAL_SERVICE + "  - redirect: {uri: /}\n" + ROUTE,
        8, 5, "spec.http[0].redirect", "several-actions", None, "keep one",
    ),
    "exact and prefix": (
        VIRTUAL_SERVICE + "  - match: [{uri: {exact: /a, prefix: /b}}]\n" + ROUTE,
        8, 39, "spec.http[0].match[0].uri.prefix", "several-matches", None, "exact and prefix",
    ),
    "a bad regex": (
        VIRTUAL_SERVICE + "  - match: [{uri: {regex: '/(a'}}]\n" + ROUTE,
        8, 27, "spec.http[0].match[0].uri.regex", "bad-regex", None, "no regular expression",
    ),
    "a regex that RE2 lacks": (
        VIRTUAL_SERVICE + "  - match: [{uri: {regex: '/(?!a).*'}}]\n" + ROUTE,
        8, 27, "spec.http[0].match[0].uri.regex", "bad-regex", None, "RE2",
    ),
    "a negative weight": (
        VIRTUAL_SERVICE + "  - route:\n    - destination: {host: web}\n      weight: -1\n",
        10, 15, "spec.http[0].route[0].weight", "bad-weight", None, "negative",
    ),
    "weights that add up to nothing": (
        VIRTUAL_SERVICE + "  - route: [{destination: {host: a}}, {destination: {host: b}}]\n",
        8, 5, "spec.http[0].route", "bad-weight", None, "add up to 0",
    ),
    "no destination host": (
        VIRTUAL_SERVICE + "  - route: [{destination: {subset: v1}}]\n",
        8, 27, "spec.http[0].route[0].destination.host", "missing-field", None, "is missing",
    ),
    "a redirect code that is none": (
        VIRTUAL_SERVICE + "  - redirect: {uri: /, redirectCode: 200}\n",
        8, 38, "spec.http[0].redirect.redirectCode", "bad-value", None, "301",
    ),
    "an unknown retry condition": (
        VIRTUAL_SERVICE + "  - retries: {attempts: 1, retryOn: conect-failure}\n" + ROUTE,
        8, 37, "spec.http[0].retries.retryOn", "bad-value", "connect-failure", "no retry condition",
    ),
    "a rule without host": (
        DESTINATION_RULE + "  subsets: []\n", 6, 3, "spec.host", "missing-field", None, "is missing",
    ),
    "a subset without name": (
        DESTINATION_RULE + "  host: web\n  subsets:\n  - labels: {version: v1}\n",
        8, 5, "spec.subsets[0].name", "missing-field", None, "is missing",
    ),
    "two subsets of one name": (
        DESTINATION_RULE + "  host: web\n  subsets: [{name: v1}, {name: v1}]\n",
        7, 32, "spec.subsets[1].name", "duplicate-name", None, "another subset",
    ),
    "a server without port": (
        GATEWAY + "  - hosts: ['*']\n", 8, 5, "spec.servers[0].port", "missing-field", None, "is missing",
    ),
    "a server without hosts": (
        GATEWAY + "  - port: {number: 80, name: http, protocol: HTTP}\n",
        8, 5, "spec.servers[0].hosts", "missing-field", None, "is missing",
    ),
    "a port out of range": (
        GATEWAY + "  - {hosts: ['*'], port: {number: 66000, name: http, protocol: HTTP}}\n",
        8, 35, "spec.servers[0].port.number", "bad-port", None, "1 to 65535",
    ),
    "a star in the middle": (
        GATEWAY + "  - {hosts: [a.*.com], port: {number: 80, name: http, protocol: HTTP}}\n",
        8, 14, "spec.servers[0].hosts[0]", "bad-host", None, "stand alone",
    ),
    "HTTPS without tls": (
        GATEWAY + "  - {hosts: ['*'], port: {number: 443, name: https, protocol: HTTPS}}\n",
        8, 5, "spec.servers[0].tls", "missing-field", None, "HTTPS",
    ),
    "a service without ports": (
        SERVICE + "  selector: {app: web}\n", 5, 1, "spec.ports", "missing-field", None, "at least one port",
    ),
    "a service port without number": (
        SERVICE + "  ports: [{name: http}]\n",
        6, 11, "spec.ports[0].port", "missing-field", None, "is missing",
    ),
    "one of two ports without name": (
        SERVICE + "  ports: [{port: 80, name: http}, {port: 81}]\n",
        6, 35, "spec.ports[1].name", "missing-field", None, "needs a name",
    ),
    "a deployment without selector": (
        DEPLOYMENT + "  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}\n",
        6, 3, "spec.selector", "missing-field", None, "is missing",
    ),
    "a deployment without template": (
        DEPLOYMENT + "  selector: {matchLabels: {app: web}}\n",
        6, 3, "spec.template", "missing-field", None, "is missing",
    ),
    "a selector that misses the template": (
        DEPLOYMENT
        + "  selector: {matchLabels: {app: web}}\n"
        + "  template: {metadata: {labels: {app: wep}}, spec: {containers: [{name: a, image: b}]}}\n",
        6, 14, "spec.selector.matchLabels", "selector-mismatch", None, "app=web",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_one_mistake_one_error_in_its_place(case: tuple[str, int, int, str, str, str | None, str]) -> None:
    text, line, column, field, code, suggestion, word = case
    (found,) = errors(text)
    assert (found.line, found.column, found.field, found.code) == (line, column, field, code)
    assert found.suggestion == suggestion
    assert word in found.message


def test_all_mistakes_of_all_documents_are_reported_at_once() -> None:
    text = VIRTUAL_SERVICE + "  - rout: []\n---\na: b: c\n---\n" + SERVICE + "  prots: []\n  typ: NodePort\n"
    assert [(one.line, one.code) for one in errors(text)] == [
        (8, "unknown-field"),
        (10, "yaml-syntax"),
        (17, "unknown-field"),
        (18, "unknown-field"),
    ]


def test_columns_count_the_separator_that_a_document_begins_beside() -> None:
    text = "--- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, oops: {}}\n"
    (found,) = decode(text, "lab.yaml").diagnostics
    assert (found.field, found.line, found.column) == ("oops", 1, text.index("oops") + 1)


def test_kinds_that_are_known_and_not_simulated_get_one_line() -> None:
    decoded = decode(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}\nrules: [1]\n", "f"
    )
    assert [(one.severity, one.code) for one in decoded.diagnostics] == [("info", "kind-not-simulated")]
    assert decoded.resources == ()


def test_fields_without_effect_are_reported_once_each() -> None:
    rule = "  - match: [{port: 1, sourceSubnet: 10.0.0.0/8}]\n    route: [{destination: {host: a}}]\n"
    head = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  hosts: [a]\n"
    )
    noted = [str(one) for one in decode(f"{head}  tcp:\n{rule}{rule}", "f.yaml").diagnostics]
    assert noted == ["f.yaml:7:23: info: spec.tcp[0].match[0].sourceSubnet: accepted, not simulated"]
    document = f"{head}  tcp:\n{rule}"
    assert [str(one) for one in decode(f"{document}---\n{document}", "f.yaml").diagnostics] == noted


def test_the_console_text_shows_the_line_and_a_caret() -> None:
    text = VIRTUAL_SERVICE + "  - rout: []\n"
    assert render(errors(text), {"f.yaml": text}).splitlines()[1:] == ["  8 |   - rout: []", "    |     ^"]


def test_nesting_without_end_is_refused() -> None:
    (deep,) = errors("a: " + "[" * 20_000)
    assert "nested more than 100 levels deep" in deep.message


def test_maps_merged_without_end_are_refused() -> None:
    bomb = "".join(
        f"  {name}: &{name} {{<<: [{', '.join([f'*{before}'] * 10)}]}}\n"
        for before, name in zip("abcdefg", "bcdefgh", strict=True)
    )
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nanchors:\n  a: &a {k: v}\n"
    assert [one.code for one in errors(f"{head}{bomb}data: *h\n")] == ["unknown-field", "too-large"]


def test_an_unknown_field_is_not_also_called_accepted() -> None:
    decoded = decode(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\n"
        "spec: {hosts: [a.com], gateway: [gs], http: [{directResponse: {status: 200}}]}\n",
        "x.yaml",
    )
    assert [(one.severity, one.field) for one in decoded.diagnostics] == [("error", "spec.gateway")]


def test_an_envoy_file_among_the_manifests_is_recognised() -> None:
    decoded = decode("static_resources: {}\n", "envoy.yaml")
    assert "minimesh proxy -c" in decoded.diagnostics[0].message


def test_text_that_was_not_utf8_is_refused_at_its_first_such_character() -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: caf\xe9s\n".decode("utf-8", errors="replace")
    decoded = decode(text, "web.yaml")
    assert decoded.resources == ()
    assert [str(one) for one in decoded.diagnostics] == [
        "web.yaml:4:12: error: this character is not UTF-8; save the file in that encoding"
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "path"),
    [
        (
            "Sidecar",
            "{egress: [{port: {number: 0, protocol: HTTP, name: s}, bind: 'unix:///s', hosts: ['*/*']}]}",
            "spec.egress[0].bind",
        ),
        (
            "ServiceEntry",
            "{hosts: ['*.a.com'], ports: [{number: 80, name: a, protocol: HTTP}], resolution: DYNAMIC_DNS}",
            "spec.resolution",
        ),
    ],
)
def test_values_without_effect_are_named(kind: str, spec: str, path: str) -> None:
    head = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: x}}\n"
    found = [(each.field, each.severity) for each in decode(f"{head}spec: {spec}\n", "f.yaml").diagnostics]
    assert (path, Severity.INFO) in found


def test_a_nul_ends_no_text_not_even_in_a_comment() -> None:
    [found] = errors("# read\x00\napiVersion: v1\n")
    assert (found.line, found.column, found.message) == (
        1,
        7,
        "not valid YAML: a NUL character is not allowed",
    )


def test_a_line_that_is_shown_commands_no_terminal() -> None:
    text = "a: \x1b[2J\tb\u202e\n"
    [shown] = render(errors(text), {"f.yaml": text}).splitlines()[1:2]
    assert shown == "  1 | a: \ufffd[2J\tb\ufffd"


def test_of_an_endless_line_the_place_that_is_meant_is_shown() -> None:
    text = (
        "#" * 9
        + "\n{apiVersion: v1, kind: ConfigMap, data: {a: "
        + "x" * 9_000
        + "}, metadata: {name: a}, nme: b}\n"
    )
    line, caret = render(errors(text), {"f.yaml": text}).splitlines()[1:]
    assert len(line) < 210
    assert line[caret.index("^") :].startswith("nme: b}")
