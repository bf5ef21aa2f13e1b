"""`make bench`: prints every figure the project claims, with the machine it was measured on."""

import platform
import statistics
import sys

from bench import startup

ROUNDS = 3


def main() -> int:
    """Run every measurement and print a table; the exit code tells whether the budgets held."""
    print(
        f"machine: {platform.system()} {platform.machine()}, Python {platform.python_version()}, {ROUNDS} rounds"
    )
    runs = [startup.measure() for _ in range(ROUNDS)]
    first_200_s = statistics.median(run.first_200_s for run in runs)
    print(
        f"minimesh up to first 200   {first_200_s:6.2f} s    (budget {startup.FIRST_200_BUDGET_S:.0f} s, median)"
    )
    within = first_200_s < startup.FIRST_200_BUDGET_S
    if all(run.pss_mb is not None for run in runs):
        pss_mb = statistics.median(run.pss_mb for run in runs if run.pss_mb is not None)
        count = runs[-1].processes
        print(
            f"all {count} processes together {pss_mb:6.0f} MB   (budget {startup.PSS_BUDGET_MB} MB, PSS, median)"
        )
        within = within and pss_mb < startup.PSS_BUDGET_MB
    else:
        print("memory: not measured, this system has no /proc/PID/smaps_rollup")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
