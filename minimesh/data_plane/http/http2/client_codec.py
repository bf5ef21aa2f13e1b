"""The `h2` library, set up for connections to upstreams: what it checks, announces, and how it compresses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from h2.config import H2Configuration
from h2.settings import SettingCodes, Settings
from hpack import Encoder, NeverIndexedHeaderTuple

from minimesh.data_plane.http.http2.codec import PROTOCOL_WINDOW_BYTES, LeanH2
from minimesh.data_plane.http.http2.hpack_memo import MemoDecoder, MemoEncoder
from minimesh.data_plane.network.http2_options import Http2Options

#: Secrets, lest somebody guess them by what compresses well (RFC 7541, 7.1); and what never comes again.
_NEVER_INDEXED = frozenset({b"authorization", b"proxy-authorization", b"x-request-id"})
_SHORT_COOKIE_BYTES = 20
_CONFIG = H2Configuration(
    client_side=True,
    # What we send is valid, and what we get is judged by `http.http2`.
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
)


class RequestEncoder(MemoEncoder):
    """Remembers the part of a request's list that may come again; the rest is sent behind it, as it is.

    Strings are not Huffman-coded: in Python, that costs more time than the bytes it saves.
    """

    def encode(self, headers: Iterable[Any], huffman: bool = True) -> bytes:
        """The block of a header list, its fields in another order perhaps."""
        common: list[Any] = []
        unique: list[Any] = []
        for name, value in headers:
            if name in _NEVER_INDEXED or (name == b"cookie" and len(value) < _SHORT_COOKIE_BYTES):
                unique.append(NeverIndexedHeaderTuple(name, value))
            else:
                common.append((name, value))
        block = super().encode(common, huffman=False)
        return block + Encoder.encode(self, unique, huffman=False) if unique else block


class ClientH2(LeanH2):
    """`h2` without its look at every stream for each new one."""

    @property
    def open_outbound_streams(self) -> int:
        """Counted, and kept within the limit, by the connection's pool."""
        return 0


def new_client_h2(options: Http2Options, max_header_bytes: int) -> ClientH2:
    """A connection that has what it announces to be sent. `max_header_bytes` limits a response's head."""
    h2 = ClientH2(_CONFIG)
    # What only compression makes small is bounded before it is there.
    max_decoded_bytes = 2 * max_header_bytes
    # Made anew, because a later change counts (and is announced) only once the peer has agreed.
    h2.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.HEADER_TABLE_SIZE: options.hpack_table_bytes,
            SettingCodes.INITIAL_WINDOW_SIZE: options.initial_stream_window_bytes,
            SettingCodes.MAX_CONCURRENT_STREAMS: options.max_concurrent_streams,
            SettingCodes.MAX_HEADER_LIST_SIZE: max_decoded_bytes,
        },
    )
    h2.encoder = RequestEncoder()
    h2.decoder = MemoDecoder(max_header_list_size=max_decoded_bytes)
    h2.decoder.max_allowed_table_size = options.hpack_table_bytes
    h2.initiate_connection()
    more = options.initial_connection_window_bytes - PROTOCOL_WINDOW_BYTES
    if more > 0:
        h2.increment_flow_control_window(more)
    return h2
