"""xxHash64 and MurmurHash2 (64 bits), bit for bit as Envoy uses them for consistent hashing.

Pure Python: a key of a few dozen bytes costs some microseconds. Hosts are hashed when configuration arrives;
the keys of requests through `hash_text`, which remembers the latest.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
)  # fmt: skip
_STRIPE = Struct("<4Q")
_WORD = Struct("<Q")
_HALF_WORD = Struct("<I")

_MURMUR_MULTIPLIER = 0xC6A4A7935BD1E995
#: The seed of libstdc++'s std::hash, which Envoy's ring keeps compatible with.
_MURMUR_SEED = 0xC70F6907


def xxhash64(data: bytes, seed: int = 0) -> int:
    """XXH64 of `data` (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md)."""
    length = len(data)
    at = 0
    if length >= 32:
        at = length - length % 32
        value = _stripes(data, at, seed)
    else:
        value = (seed + _P5) & _MASK
    value = (value + length) & _MASK
    while at + 8 <= length:
        value ^= _round(0, _WORD.unpack_from(data, at)[0])
        value = (_rotated(value, 27) * _P1 + _P4) & _MASK
        at += 8
    if at + 4 <= length:
        value ^= (_HALF_WORD.unpack_from(data, at)[0] * _P1) & _MASK
        value = (_rotated(value, 23) * _P2 + _P3) & _MASK
        at += 4
    for byte in data[at:]:
        value ^= (byte * _P5) & _MASK
        value = (_rotated(value, 11) * _P1) & _MASK
    value = ((value ^ (value >> 33)) * _P2) & _MASK
    value = ((value ^ (value >> 29)) * _P3) & _MASK
    return value ^ (value >> 32)


def murmurhash2(data: bytes, seed: int = _MURMUR_SEED) -> int:
    """MurmurHash64A, the hash function MURMUR_HASH_2 of a ring."""
    length = len(data)
    value = seed ^ ((length * _MURMUR_MULTIPLIER) & _MASK)
    whole = length - length % 8
    for at in range(0, whole, 8):
        word = (_WORD.unpack_from(data, at)[0] * _MURMUR_MULTIPLIER) & _MASK
        word = ((word ^ (word >> 47)) * _MURMUR_MULTIPLIER) & _MASK
        value = ((value ^ word) * _MURMUR_MULTIPLIER) & _MASK
    if length % 8:
        rest = int.from_bytes(data[whole:], "little")
        value = ((value ^ rest) * _MURMUR_MULTIPLIER) & _MASK
    value = ((value ^ (value >> 47)) * _MURMUR_MULTIPLIER) & _MASK
    return value ^ (value >> 47)


@lru_cache(maxsize=4096)
def hash_text(text: str, seed: int = 0) -> int:
    """xxHash64 of what a request says (Latin-1, as header values are kept); the latest are remembered."""
    return xxhash64(text.encode("latin-1", "replace"), seed)


def combined(earlier: int, later: int) -> int:
    """The hashes of two hash policies as one: the earlier turned left by one bit, then exclusive or."""
    return (((earlier << 1) | (earlier >> 63)) & _MASK) ^ later


def _stripes(data: bytes, end: int, seed: int) -> int:
    """The four accumulators over all whole stripes of 32 bytes."""
    a, b = (seed + _P1 + _P2) & _MASK, (seed + _P2) & _MASK
    c, d = seed, (seed - _P1) & _MASK
    for w, x, y, z in _STRIPE.iter_unpack(data[:end]):
        a, b, c, d = _round(a, w), _round(b, x), _round(c, y), _round(d, z)
    value = (_rotated(a, 1) + _rotated(b, 7) + _rotated(c, 12) + _rotated(d, 18)) & _MASK
    for accumulator in (a, b, c, d):
        value = ((value ^ _round(0, accumulator)) * _P1 + _P4) & _MASK
    return value


def _round(accumulator: int, lane: int) -> int:
    return (_rotated((accumulator + lane * _P2) & _MASK, 31) * _P1) & _MASK


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK
