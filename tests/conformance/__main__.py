"""`make conformance`: runs every case at both proxies and prints how they compare."""

from __future__ import annotations

import sys

from tests.conformance.cases import CASES
from tests.conformance.comparison import compare
from tests.conformance.known_differences import KNOWN_DIFFERENCES


def main() -> int:
    """Prints the table; 0 when all differences are known and all known ones are still there."""
    wanted = sys.argv[1:]
    chosen = [case for case in CASES if not wanted or any(word in case.name for word in wanted)]
    results = compare(chosen, KNOWN_DIFFERENCES)
    unexpected = 0
    for result in results:
        reason = KNOWN_DIFFERENCES.get(result.case.name)
        if result.equal == (reason is None):
            continue
        unexpected += 1
        print(f"\n{result.case.name}: " + ("equal, but listed as different" if result.equal else "different"))
        for difference in result.envoy.differences(result.minimesh):
            print(f"  {difference}")
    different = [result.case.name for result in results if not result.equal]
    print(f"\n{'cases':>10} {len(results):>5}\n{'equal':>10} {len(results) - len(different):>5}")
    print(f"{'different':>10} {len(different):>5}")
    for name in different:
        print(f"  {name}: {KNOWN_DIFFERENCES.get(name, 'NOT EXPLAINED')}")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
