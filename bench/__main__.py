"""`make bench`: prints every figure the project claims, with the machine it was measured on."""

import platform
import statistics
import sys

from bench import data_plane, startup

ROUNDS = 3


def main() -> int:
    """Run every measurement and print a table; the exit code tells whether the budgets held."""
    print(f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {ROUNDS} rounds")
    runs = [startup.measure() for _ in range(ROUNDS)]
    start_times_s = [run.first_200_s for run in runs]
    within = _report("minimesh up to first 200", "s", start_times_s, startup.FIRST_200_BUDGET_S)
    weights_mb = [run.pss_mb for run in runs if run.pss_mb is not None]
    if weights_mb:
        label = f"all {runs[-1].processes} processes together, PSS"
        within = _report(label, "MB", weights_mb, startup.PSS_BUDGET_MB) and within
    else:
        print("memory: not measured, this system has no /proc/PID/smaps_rollup")
    if lacking := data_plane.missing():
        print(f"data plane against Envoy: not measured, this machine has no {lacking}")
    else:
        data_plane.measure()
    return 0 if within else 1


def _report(label: str, unit: str, values: list[float], budget: float) -> bool:
    """Print one line and tell whether the median keeps its budget."""
    median = statistics.median(values)
    spread = f"{min(values):.2f} to {max(values):.2f}"
    print(f"{label:<40} {median:8.2f} {unit:<2} ({spread}; budget {budget:g} {unit})")
    return median < budget


if __name__ == "__main__":
    sys.exit(main())
