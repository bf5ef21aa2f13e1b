"""Which pod a word means."""

from __future__ import annotations

import click
import pytest

from minimesh.cli.istioctl.targets import choose_pod, pods_with_labels, split_namespace

PODS = [
    {"name": "web-1", "namespace": "default", "workload": "web", "ready": False, "labels": {"app": "web"}},
    {"name": "web-2", "namespace": "default", "workload": "web", "ready": True, "labels": {"app": "web"}},
    {"name": "gw", "namespace": "istio-system", "workload": "gw", "ready": True, "labels": {"app": "gw"}},
]


@pytest.mark.parametrize(
    ("word", "namespace", "meant"),
    [
        ("web-1", None, ("web-1", "default")),
        ("gw.istio-system", None, ("gw", "istio-system")),
        ("gw.istio-system", "default", ("gw", "istio-system")),
        ("deploy/gw.istio-system", None, ("deploy/gw", "istio-system")),
        ("deployment.apps/web", "x", ("deployment.apps/web", "x")),
    ],
)
def test_a_namespace_may_follow_a_dot(word: str, namespace: str | None, meant: tuple[str, str]) -> None:
    assert split_namespace(word, namespace) == meant


@pytest.mark.parametrize(
    ("name", "chosen"),
    [("web-1", "web-1"), ("pod/web-1", "web-1"), ("deploy/web", "web-2"), ("rs/web", "web-2")],
)
def test_a_pod_by_name_or_a_ready_one_of_a_workload(name: str, chosen: str) -> None:
    assert choose_pod(PODS, name, "default")["name"] == chosen


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nope", 'unable to retrieve Pod: pods "nope" not found'),
        ("deploy/nope", '"deploy/nope" does not refer to a pod'),
        ("serviceaccount/web", '"serviceaccount/web" does not refer to a pod'),
    ],
)
def test_what_is_not_there_is_said_as_istioctl_says_it(name: str, error: str) -> None:
    with pytest.raises(click.ClickException) as refused:
        choose_pod(PODS, name, "default")
    assert refused.value.message == error


def test_pods_by_label() -> None:
    assert [pod["name"] for pod in pods_with_labels(PODS, "app=web", None)] == ["web-1", "web-2"]
    assert pods_with_labels(PODS, "app=web", "istio-system") == []
