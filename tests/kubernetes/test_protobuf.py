"""The reader of protobuf bodies, given what kubectl does not send; see also `test_kubectl_objects`."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimesh.kubernetes.api_errors import ApiError
from minimesh.kubernetes.protobuf import decode_object

NAMESPACE = b"k8s\x00" + bytes.fromhex("0a0f0a02763112094e616d657370616365" + "1205" + "0a030a0178")
"""A Namespace named x, as kubectl writes it."""


def test_a_namespace() -> None:
    assert decode_object(NAMESPACE) == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}


def test_a_body_without_the_prefix_is_refused() -> None:
    with pytest.raises(ApiError, match="expected prefix"):
        decode_object(b"{}")


def test_a_kind_that_is_not_read_is_named() -> None:
    with pytest.raises(ApiError, match="Namespacf"):
        decode_object(NAMESPACE.replace(b"Namespace", b"Namespacf"))


@pytest.mark.parametrize("length", range(4, len(NAMESPACE)))
def test_a_body_that_is_cut_short_is_refused_or_read(length: int) -> None:
    with contextlib.suppress(ApiError):
        assert decode_object(NAMESPACE[:length])["kind"] == "Namespace"


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ApiError):
        decode_object(b"k8s\x00" + data)


@given(st.sampled_from([b"Deployment", b"Service", b"Secret", b"Namespace"]), st.binary(max_size=200))
def test_garbage_in_a_kind_is_refused_or_read(kind: bytes, data: bytes) -> None:
    names = b"\x0a\x02v1\x12" + bytes([len(kind)]) + kind
    raw = b"\x12" + bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data
    with contextlib.suppress(ApiError):
        assert decode_object(b"k8s\x00\x0a" + bytes([len(names)]) + names + raw)["kind"] == kind.decode()
