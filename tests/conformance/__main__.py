"""`make conformance`: runs every case at both proxies and prints how they compare."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.conformance.case import Chapter
from tests.conformance.cases import CHAPTERS
from tests.conformance.comparison import Comparison, compare_with_live, compare_with_recorded, observe_envoy
from tests.conformance.known_differences import KNOWN_DIFFERENCES
from tests.conformance.recording import read_recorded, record


def main(arguments: Sequence[str]) -> int:
    """Prints the table; 0 when all differences are known and all known ones are still there.

    Arguments are parts of names of cases or chapters. `--record` writes down what Envoy does; `--recorded`
    compares with that instead of a live Envoy.
    """
    options = {word for word in arguments if word.startswith("--")}
    chosen = _chosen([word for word in arguments if word not in options])
    if "--record" in options:
        record(CHAPTERS, observe_envoy(CHAPTERS))
        return 0
    if "--recorded" in options:
        results = compare_with_recorded(chosen, read_recorded(chosen), KNOWN_DIFFERENCES)
    else:
        results = compare_with_live(chosen, KNOWN_DIFFERENCES)
    unexpected = [result for result in results if result.equal == (result.case.name in KNOWN_DIFFERENCES)]
    for result in unexpected:
        _show(result)
    _print_table(chosen, {result.case.name: result for result in results})
    return 1 if unexpected else 0


def _chosen(words: Sequence[str]) -> list[Chapter]:
    chapters = {each.name for each in CHAPTERS}

    def wanted(chapter: Chapter, name: str) -> bool:
        parts = (word for word in words if word not in chapters)
        return not words or chapter.name in words or any(part in name for part in parts)

    chosen = (
        Chapter(each.name, each.setting, tuple(case for case in each.cases if wanted(each, case.name)))
        for each in CHAPTERS
    )
    return [chapter for chapter in chosen if chapter.cases]


def _show(result: Comparison) -> None:
    print(f"\n{result.case.name}: " + ("equal, but listed as different" if result.equal else "different"))
    for difference in result.envoy.differences(result.minimesh):
        print(f"  {difference}")


def _print_table(chapters: Sequence[Chapter], results: dict[str, Comparison]) -> None:
    print(f"\n{'chapter':<20} {'cases':>6} {'equal':>6} {'different':>10}")
    total = equal = 0
    for chapter in chapters:
        same = sum(results[case.name].equal for case in chapter.cases)
        total, equal = total + len(chapter.cases), equal + same
        print(f"{chapter.name:<20} {len(chapter.cases):>6} {same:>6} {len(chapter.cases) - same:>10}")
    print(
        f"{'all':<20} {total:>6} {equal:>6} {total - equal:>10}   {100 * equal / max(total, 1):.1f} % equal"
    )
    for name, result in results.items():
        if not result.equal:
            print(f"  {name}: {KNOWN_DIFFERENCES.get(name, 'NOT EXPLAINED')}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
