"""Generated names: of ReplicaSets by their template, of pods by chance."""

from __future__ import annotations

import hashlib
import json

from minimesh.config.encoding import encoded
from minimesh.config.kubernetes.pod import PodTemplateSpec

# Kubernetes' own alphabet: no vowels, so no words.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: PodTemplateSpec, collisions: int = 0) -> str:
    """The ten characters that tell this template from others; `collisions` asks for the next ones."""
    text = json.dumps(encoded(template), sort_keys=True) + (str(collisions) if collisions else "")
    return _letters(hashlib.sha256(text.encode()).digest(), 10)


def random_suffix(random_bytes: bytes) -> str:
    """The five characters at the end of a pod's name, from at least five random bytes."""
    return _letters(random_bytes, 5)


def _letters(content: bytes, count: int) -> str:
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in content[:count])
