"""The published manifests that labs apply, which are beside the checkout where they are at all."""

from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[3] / "shared" / "reference" / "samples"
ISTIO = SAMPLES / "istio"
BOOKINFO = ISTIO / "bookinfo"

needed = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the published samples are not beside this checkout")
