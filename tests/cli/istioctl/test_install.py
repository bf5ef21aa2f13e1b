"""`istioctl install` and `uninstall` over a mesh that runs: what is shown, and what is there afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from minimesh.cli.istioctl.installation import installation
from minimesh.cli.istioctl.main import istioctl
from minimesh.cli.istioctl.manifest import PROFILES, components
from tests.end_to_end.mesh import wait_until
from tests.labs.lab_shell import LabShell


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabShell]:
    shell = LabShell(tmp_path_factory.mktemp("install"))
    yield shell
    shell.stop()


def test_profiles_differ_by_their_components() -> None:
    titles = {profile: [each.title for each in components(PROFILES[profile])] for profile in PROFILES}
    assert titles["demo"] == ["Istio core", "Istiod", "Egress gateways", "Ingress gateways"]
    assert titles["default"] == ["Istio core", "Istiod", "Ingress gateways"]
    assert titles["minimal"] == ["Istio core", "Istiod"]
    assert titles["empty"] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("install --set profile=ambient -y", "unknown profile: ambient; minimesh has: default, demo"),
        ("install --set values.global.hub=x -y", "no setting 'values.global.hub'"),
        ("install --set components.cni.enabled=true -y", "no setting 'components.cni'"),
        ("install --set components.egressGateways[0].name=other -y", "minimesh installs istio-egressgateway"),
        ("install --set meshConfig.outboundTrafficPolicy.mode=NOBODY -y", "meshConfig"),
        ("install --set meshConfig..x=1 -y", "is no path of settings"),
        ("install -f /nowhere.yaml -y", "/nowhere.yaml"),
        ("uninstall", "minimesh knows --purge"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(line: str, said: str) -> None:
    ran = CliRunner().invoke(istioctl, line.split())
    assert ran.exit_code == 1
    assert said in ran.output


def test_the_tasks_settings_are_taken() -> None:
    wanted = installation(
        (),
        (
            "components.egressGateways[0].name=istio-egressgateway",
            "components.egressGateways[0].enabled=true",
            "meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY",
            "meshConfig.accessLogFile=/dev/stdout",
            "values.pilot.env.PILOT_ENABLE_ALPHA_GATEWAY_API=true",
            "profile=minimal",
        ),
    )
    assert [each.title for each in components(wanted.components)] == [
        "Istio core",
        "Istiod",
        "Egress gateways",
    ]
    assert wanted.mesh_config == {
        "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
        "accessLogFile": "/dev/stdout",
    }


def test_an_operator_file_says_the_same_and_set_is_stronger(tmp_path: Path) -> None:
    file = tmp_path / "operator.yaml"
    file.write_text("""
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  profile: demo
  components:
    ingressGateways: [{name: istio-ingressgateway, enabled: false}]
  meshConfig:
    accessLogEncoding: JSON
    extensionProviders:
    - {name: one, envoyFileAccessLog: {path: /dev/stdout}}
""")
    wanted = installation([str(file)], ["meshConfig.extensionProviders[0].name=two"])
    assert wanted.profile == "demo"
    assert set(wanted.components) == {"core", "istiod", "egress"}
    assert wanted.mesh_config == {
        "accessLogFile": "/dev/stdout",
        "accessLogEncoding": "JSON",
        "extensionProviders": [{"name": "two", "envoyFileAccessLog": {"path": "/dev/stdout"}}],
    }


@pytest.mark.slow
def test_installing_uninstalling_and_installing_again(shell: LabShell) -> None:
    installed = shell("istioctl install --set profile=demo -y")
    assert installed.lines == [
        "✔ Istio core installed ⛵️",
        "✔ Istiod installed 🧠",
        "✔ Egress gateways installed 🛫",
        "✔ Ingress gateways installed 🛬",
        "✔ Installation complete",
    ]
    assert "accessLogFile" in shell("kubectl get cm istio -n istio-system -o jsonpath='{.data.mesh}'").out
    gone = shell("istioctl uninstall --purge -y").lines
    assert gone[0] == "All Istio resources will be pruned from the cluster"
    assert gone[-1] == "✔ Uninstall complete"
    assert "  Removed apps/v1, Kind=Deployment/istio-ingressgateway.istio-system." in gone
    wait_until(
        lambda: "No resources found" in shell.run("kubectl get deploy,pods -n istio-system").err,
        "the gateway's pods to end",
    )
    assert shell("istioctl install -y").lines[-1] == "✔ Installation complete"
    assert "istio-ingressgateway" in shell("kubectl get deploy -n istio-system").out
    assert not shell("kubectl get cm istio -n istio-system -o jsonpath='{.data.mesh}'").out
    shell("istioctl install --set meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY -y")
    assert "REGISTRY_ONLY" in shell("kubectl get cm istio -n istio-system -o jsonpath='{.data.mesh}'").out


@pytest.mark.slow
def test_without_confirmation_nothing_happens(shell: LabShell) -> None:
    asked = shell("echo n | istioctl uninstall --purge")
    assert asked.lines[-1].endswith("Cancelled.")
    assert "istio-ingressgateway" in shell("kubectl get deploy -n istio-system").out


@pytest.mark.slow
def test_minikube_answers_for_this_machine(shell: LabShell) -> None:
    assert shell("minikube ip").out == "127.0.0.1\n"
    said = shell("minikube -n istio-system service istio-ingressgateway --url").lines
    ports = shell(
        "kubectl get svc istio-ingressgateway -n istio-system -o jsonpath='{.spec.ports[*].nodePort}'"
    )
    assert said == [f"http://127.0.0.1:{port}" for port in ports.out.split()]
    assert "NGINX is not part of minimesh" in shell.run("minikube addons enable ingress").err
    assert "was not found" in shell.run("minikube service nothing --url").err


@pytest.mark.slow
def test_the_chosen_namespace_counts(shell: LabShell) -> None:
    shell("kubectl config set-context --current --namespace=istio-system")
    try:
        wait_until(
            lambda: (
                shell.run("istioctl proxy-config bootstrap deploy/istio-ingressgateway -o short").code == 0
            ),
            "the gateway of the chosen namespace",
        )
    finally:
        shell("kubectl config set-context --current --namespace=default")
