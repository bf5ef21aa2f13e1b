"""The `h2` library, set up for connections of clients: what it checks, what it keeps, what it tells them."""

from __future__ import annotations

from h2.config import H2Configuration
from h2.settings import SettingCodes, Settings

from minimesh.data_plane.http.http2.codec import PROTOCOL_WINDOW_BYTES, LeanH2
from minimesh.data_plane.http.http2.hpack_memo import MemoDecoder, MemoEncoder
from minimesh.data_plane.network.http2_options import Http2Options

_CONFIG = H2Configuration(
    client_side=False,
    header_encoding=None,
    # What we get is judged by `http.http2`, what we send is valid.
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


class ServerH2(LeanH2):
    """`h2` without its look at every stream for each new one."""

    @property
    def open_inbound_streams(self) -> int:
        """Counted, and kept within the limit, by `Http2ServerConnection`."""
        return 0


def new_server_h2(options: Http2Options, max_header_bytes: int) -> ServerH2:
    """Not begun: nothing is to be sent yet."""
    h2 = ServerH2(_CONFIG)
    h2.local_settings = _settings(options, options.max_concurrent_streams)
    # What only compression makes small is bounded before it is there.
    h2.decoder = MemoDecoder(max_header_list_size=2 * max_header_bytes)
    h2.encoder = MemoEncoder()
    h2.decoder.max_allowed_table_size = options.hpack_table_bytes
    return h2


def _settings(options: Http2Options, max_concurrent_streams: int) -> Settings:
    return Settings(
        client=False,
        initial_values={
            SettingCodes.HEADER_TABLE_SIZE: options.hpack_table_bytes,
            SettingCodes.MAX_CONCURRENT_STREAMS: max_concurrent_streams,
            SettingCodes.INITIAL_WINDOW_SIZE: options.initial_stream_window_bytes,
            SettingCodes.ENABLE_CONNECT_PROTOCOL: int(options.allow_connect),
        },
    )


def begin(h2: ServerH2, options: Http2Options) -> None:
    """Say what the client has to know: settings, and how much it may send on the connection."""
    h2.initiate_connection()
    # Told the client, the number of streams is minded here: `h2` would end the connection over one too many.
    h2.local_settings = _settings(options, 2**31 - 1)
    more = options.initial_connection_window_bytes - PROTOCOL_WINDOW_BYTES
    if more > 0:
        h2.increment_flow_control_window(more)
