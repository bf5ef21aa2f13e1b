"""`python -m tests.fuzz MINUTES`: every fuzzer in turn, a third of the time each. Ends with 1 at a finding.

What the coverage-guided ones learn is kept in `.hypothesis/`, so that the next run goes on from there.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

#: How long the tests take with FUZZ_FACTOR=1, in seconds.
_FACTOR_ONE_S = 20.0


def main(minutes: float) -> int:
    share_s = minutes * 60 / 3
    failed = 0
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed here: what hypothesis finds has to do")
    else:
        failed = _guided("atheris_http1", share_s) | _guided("atheris_http2", share_s)
    return failed | _drawn(share_s)


def _guided(name: str, limit_s: float) -> int:
    return _run([sys.executable, "-m", f"tests.fuzz.{name}", f"-max_total_time={int(limit_s)}"])


def _drawn(limit_s: float) -> int:
    """Hypothesis, with as many examples as fit into the time."""
    factor = max(1.0, limit_s / _FACTOR_ONE_S)
    return _run([sys.executable, "-m", "pytest", "tests/fuzz"], FUZZ_FACTOR=f"{factor:.1f}")


def _run(command: list[str], **environment: str) -> int:
    print(" ".join(command[2:]), flush=True)
    done = subprocess.run(command, env=os.environ | environment, check=False)
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
