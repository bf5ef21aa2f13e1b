"""Published manifests load unchanged: no errors, and every kind in scope becomes a resource."""

from pathlib import Path

import pytest

from minimesh.config.decoding import decode
from minimesh.config.diagnostics import Severity

SAMPLES = Path(__file__).parents[3] / "shared" / "reference" / "samples"
FILES = [path for path in sorted(SAMPLES.rglob("*.yaml")) if "artifacts/envoy" not in path.as_posix()]

pytestmark = pytest.mark.skipif(not FILES, reason="the published samples are not beside this checkout")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SAMPLES).as_posix())
def test_published_sample_has_no_errors(path: Path) -> None:
    decoded = decode(path.read_text(), path.name)
    assert [str(one) for one in decoded.diagnostics if one.severity is not Severity.INFO] == []
    assert decoded.resources or any(one.code == "kind-not-simulated" for one in decoded.diagnostics)
