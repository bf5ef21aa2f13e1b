"""A token bucket that fills up as time goes by, without a timer."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """How many tokens fit in, and how fast they come back."""

    max_tokens: int
    tokens_per_fill: int
    fill_interval_s: float

    @property
    def tokens_per_s(self) -> float:
        return self.tokens_per_fill / self.fill_interval_s


class TokenBucket:
    """Full at first, unless told otherwise. `now_s` is any steady clock, the same at each call."""

    __slots__ = ("_at_s", "_tokens", "settings", "tokens_per_s")

    def __init__(self, settings: BucketSettings, now_s: float, tokens: int | None = None) -> None:
        self.settings = settings
        self.tokens_per_s = settings.tokens_per_s
        self._tokens = float(settings.max_tokens if tokens is None else tokens)
        self._at_s = now_s

    def take(self, tokens: int, now_s: float) -> bool:
        """Takes all of them or none; whether they were there."""
        self._fill(now_s)
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True

    def remaining(self, now_s: float) -> int:
        """Whole tokens in it."""
        self._fill(now_s)
        return floor(self._tokens)

    def next_token_in_s(self, now_s: float) -> int:
        """Whole seconds until there is one, rounded up; 0 when there is one now."""
        self._fill(now_s)
        return ceil(max(1.0 - self._tokens, 0.0) / self.tokens_per_s) if self._tokens < 1.0 else 0

    def _fill(self, now_s: float) -> None:
        if now_s > self._at_s:
            gained = (now_s - self._at_s) * self.tokens_per_s
            self._tokens = min(self._tokens + gained, float(self.settings.max_tokens))
            self._at_s = now_s
