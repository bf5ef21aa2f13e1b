"""Which known word somebody meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None. Case, dashes and underscores count for nothing at first."""
    words = list(known)
    folded = {_fold(one): one for one in words}
    same = folded.get(_fold(word))
    if same is not None:
        return same
    import difflib  # late, since only mistakes need it

    found = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return found[0] if found else None


def _fold(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
