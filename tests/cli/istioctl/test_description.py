"""What `x describe` says of pods and services; `kube-inject`; `dashboard`."""

from __future__ import annotations

import yaml
from click.testing import CliRunner

from minimesh.cli.istioctl import istioctl
from minimesh.cli.istioctl.description import describe_pod, describe_service
from minimesh.cli.istioctl.kube_inject import inject
from minimesh.config.analysis.document import read_documents
from minimesh.config.analysis.view import View

MANIFESTS = """\
apiVersion: v1
kind: Pod
metadata: {name: reviews-v1, labels: {app: reviews, version: v1}}
spec: {containers: [{name: reviews, ports: [{containerPort: 9080}]}, {name: istio-proxy}]}
---
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{name: http, port: 80, targetPort: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v2}, weight: 100}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside}
spec:
  hosts: ["*"]
  gateways: [gw]
  http:
  - match: [{uri: {exact: /reviews}}, {uri: {prefix: /static}}]
    route: [{destination: {host: reviews}}]
"""
OUTSIDE = (
    "Exposed on Ingress Gateway http://localhost:8080\n"
    "VirtualService: outside\n"
    "   Match: /reviews, Match: /static*\n"
)


def view() -> View:
    return View(read_documents(MANIFESTS, "", "default"), {}, lambda data: False)


def test_a_pod_with_the_rules_that_do_and_do_not_lead_to_it() -> None:
    (pod,) = view().core("Pod")
    assert describe_pod(view(), pod, "http://localhost:8080") == (
        "Pod: reviews-v1\n"
        "   Pod Revision: default\n"
        "   Pod Ports: 9080 (reviews)\n"
        "--------------------\n"
        "Service: reviews\n"
        "   Port: http 80/HTTP targets pod port 9080\n"
        'DestinationRule: reviews for "reviews"\n'
        "   Matching subsets: v1\n"
        "      (Non-matching subsets v2)\n"
        "   No Traffic Policy\n"
        "VirtualService: reviews\n"
        "   WARNING: No destinations match pod subsets (checked 2 HTTP routes)\n"
        "      Route to non-matching subset v2 for (when headers are end-user=jason)\n"
        "      Route to non-matching subset v2 for (everything)\n"
        "--------------------\n" + OUTSIDE
    )


def test_a_service_with_its_rules() -> None:
    (service,) = view().core("Service")
    assert describe_service(view(), service, "http://localhost:8080") == (
        "Service: reviews\n"
        "   Port: http 80/HTTP targets pod port 9080\n"
        'DestinationRule: reviews for "reviews"\n'
        "   Matching subsets: v1,v2\n"
        "   No Traffic Policy\n"
        "VirtualService: reviews\n"
        '   Route to host "reviews" subset "v2" when headers are end-user=jason\n'
        '   Route to host "reviews" subset "v2" with weight 100%\n' + OUTSIDE
    )


def test_each_template_that_does_not_refuse_it_gets_the_sidecar() -> None:
    text = """\
kind: Deployment
metadata: {name: web}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web, x: kept}]}}}
---
kind: Pod
metadata: {name: no, annotations: {sidecar.istio.io/inject: "false"}}
spec: {containers: [{name: web, image: web}]}
---
kind: Service
metadata: {name: web}
"""
    deployment, pod, service = yaml.safe_load_all(inject(text))
    template = deployment["spec"]["template"]
    own, proxy = template["spec"]["containers"]
    assert own == {"name": "web", "image": "web", "x": "kept"}
    assert (proxy["name"], proxy["args"][:2]) == ("istio-proxy", ["proxy", "sidecar"])
    assert template["metadata"]["labels"]["service.istio.io/canonical-name"] == "web"
    assert "sidecar.istio.io/status" in template["metadata"]["annotations"]
    assert "name" not in template["metadata"]
    assert pod["spec"]["containers"] == [{"name": "web", "image": "web"}]
    assert service == {"kind": "Service", "metadata": {"name": "web"}}


def test_what_was_injected_is_not_injected_again() -> None:
    text = "kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: web}]}\n"
    once = inject(text)
    assert inject(once) == once
    assert len(yaml.safe_load(once)["spec"]["containers"]) == 2


def test_dashboards_that_do_not_exist_say_what_to_look_at() -> None:
    listed = CliRunner().invoke(istioctl, ["dashboard", "--help"])
    assert all(name in listed.output for name in ("envoy", "controlz", "istiod-debug", "kiali", "grafana"))
    refused = CliRunner().invoke(istioctl, ["d", "kiali"])
    assert refused.exit_code == 1
    assert "Error: no kiali pods found: the addon is not part of minimesh." in refused.output
