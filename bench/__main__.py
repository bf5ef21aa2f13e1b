"""`make bench`: prints every figure the project claims, with the machine it was measured on."""

import argparse
import platform
import statistics
import sys

from bench import data_plane, kubernetes, log_shipping, proxies, startup

ROUNDS = 3


def main() -> int:
    """Run every measurement and print a table; the exit code tells whether the budgets held."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure minimesh.")
    parser.add_argument("--rounds", type=int, default=5, help="of each workload of the data plane")
    parser.add_argument("--seconds", type=int, default=2, help="of load for each proxy and round")
    parser.add_argument("--only", nargs="*", default=[], metavar="W", help="workloads of the data plane only")
    arguments = parser.parse_args()
    build = " ".join((*platform.python_build(), platform.python_compiler()))
    print(f"{platform.system()} {platform.machine()}, Python {platform.python_version()} ({build})")
    within = True if arguments.only else _measure_start()
    if not arguments.only:
        kubernetes.measure_and_report()
    if lacking := proxies.missing():
        print(f"data plane against Envoy: not measured, this machine has no {lacking}")
    else:
        data_plane.measure(rounds=arguments.rounds, duration_s=arguments.seconds, only=arguments.only)
        if not arguments.only:
            within = log_shipping.measure() and within
    return 0 if within else 1


def _measure_start() -> bool:
    runs = [startup.measure() for _ in range(ROUNDS)]
    start_times_s = [run.first_200_s for run in runs]
    within = _report("minimesh up to first 200", "s", start_times_s, startup.FIRST_200_BUDGET_S)
    weights_mb = [run.pss_mb for run in runs if run.pss_mb is not None]
    if weights_mb:
        label = f"all {runs[-1].processes} processes together, PSS"
        within = _report(label, "MB", weights_mb, startup.PSS_BUDGET_MB) and within
    else:
        print("memory: not measured, this system has no /proc/PID/smaps_rollup")
    return within


def _report(label: str, unit: str, values: list[float], budget: float) -> bool:
    """Print one line and tell whether the median keeps its budget."""
    median = statistics.median(values)
    spread = f"{min(values):.2f} to {max(values):.2f}"
    print(f"{label:<40} {median:8.2f} {unit:<2} ({spread}; budget {budget:g} {unit})")
    return median < budget


if __name__ == "__main__":
    sys.exit(main())
