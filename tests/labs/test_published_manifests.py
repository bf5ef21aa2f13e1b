"""Every published manifest is taken by the mesh from the real kubectl, folder by folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.labs import samples
from tests.labs.lab_shell import LabShell

pytestmark = [pytest.mark.slow, samples.needed]

# What a cluster without cert-manager refuses too, in the same words.
NEEDS_CERT_MANAGER = samples.BOOKINFO / "platform" / "kube" / "bookinfo-certificate.yaml"
# Envoy's own configuration, which no cluster takes.
NO_MANIFESTS = samples.SAMPLES / "tetrate-lab" / "artifacts" / "envoy"


def folders() -> list[Path]:
    """The folders that hold manifests in Istio's and Kubernetes' own kinds."""
    found = {path.parent for path in samples.SAMPLES.rglob("*.yaml")}
    return sorted(each for each in found if each.name != "gateway-api" and each != NO_MANIFESTS)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabShell]:
    lab = LabShell(tmp_path_factory.mktemp("manifests"))
    yield lab
    lab.stop()


@pytest.mark.parametrize("folder", folders(), ids=lambda path: path.relative_to(samples.SAMPLES).as_posix())
def test_a_folder_of_published_manifests_applies(lab: LabShell, folder: Path) -> None:
    """Checked by the server and not stored: several files of a folder are of the same names."""
    files = [path for path in sorted(folder.glob("*.yaml")) if path != NEEDS_CERT_MANAGER]
    names = " ".join(f"-f {path}" for path in files)
    said = lab(f"kubectl apply --dry-run=server {names}").lines
    documents = [each for path in files for each in yaml.safe_load_all(path.read_text()) if each]
    assert len(said) == len(documents)
    assert all(line.split()[1] in ("created", "configured", "unchanged") for line in said)


def test_kinds_of_an_operator_that_is_not_there_are_refused(lab: LabShell) -> None:
    ran = lab.run(f"kubectl apply -f {NEEDS_CERT_MANAGER}")
    assert ran.code == 1
    assert 'no matches for kind "ClusterIssuer" in version "certmanager.k8s.io/v1alpha1"' in ran.err
    assert "ensure CRDs are installed first" in ran.err
