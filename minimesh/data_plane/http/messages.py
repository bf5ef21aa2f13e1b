"""Request and response heads, as routing, filters, mutations and codecs see them.

Both begin as views of a shared, immutable block. The first change to a header that is already there makes a
private list; until then a head is written to the wire as text that was made once for its block.
"""

from __future__ import annotations

from collections.abc import Sequence

from minimesh.data_plane.http.header_block import WELL_KNOWN, Field, HeaderBlock, IndexedFields

#: Repetitions of these are joined by a comma when a header is added; all others get a line of their own.
_JOINED_WHEN_ADDED = frozenset({"accept", "accept-encoding", "cache-control", "content-type", "user-agent"})


def fields_text(fields: Sequence[Field]) -> str:
    """Header lines, each with its line end."""
    return "".join([f"{name}: {value}\r\n" for name, value in fields])


def _values(fields: Sequence[Field], name: str) -> list[str]:
    return [value for key, value in fields if key == name]


class _MutableFields:
    """Changing headers of a head. Names are lower case."""

    __slots__ = ("added", "fields")

    #: The private copy, or None while the shared block holds.
    fields: list[Field] | None
    #: Appended behind the shared block (while there is no private copy).
    added: list[Field]

    def _copy(self) -> list[Field]:
        raise NotImplementedError

    def header_values(self, name: str) -> Sequence[str]:
        raise NotImplementedError

    def mutable_fields(self) -> list[Field]:
        """All headers as a list that may be changed, made at the first call."""
        if self.fields is None:
            self.fields = self._copy()
            self.added = []
        return self.fields

    def remove_header(self, name: str) -> None:
        if self.header_values(name):
            fields = self.mutable_fields()
            fields[:] = [field for field in fields if field[0] != name]

    def set_header(self, name: str, value: str) -> None:
        """One value in place of all there are. As in Envoy, only a well-known header keeps its place."""
        if not self.header_values(name):
            self.add_header(name, value)
            return
        fields = self.mutable_fields()
        at = next(index for index, field in enumerate(fields) if field[0] == name)
        others = [field for field in fields if field[0] != name]
        others.insert(at if name in WELL_KNOWN else len(others), (name, value))
        fields[:] = others

    def add_header(self, name: str, value: str) -> None:
        if name in _JOINED_WHEN_ADDED:
            present = self.header_values(name)
            if present:
                self.set_header(name, ",".join((*present, value)))
                return
        (self.added if self.fields is None else self.fields).append((name, value))


class PreparedHeaders(IndexedFields):
    """A client's headers after the connection manager's work: the same for every request with that block.

    `fields` has no host. A generated x-request-id is not in it; it belongs at `request_id_at`.
    """

    __slots__ = (
        "original_path", "remote_address", "request_id", "request_id_at",
        "text_after_id", "text_before_id", "user_agent", "x_forwarded_for",
    )  # fmt: skip

    def __init__(self, fields: tuple[Field, ...], request_id_at: int, remote_address: str) -> None:
        self.fields = fields
        self._index = None
        #: Where a new x-request-id goes; -1: the client's own stays, or none is wanted.
        self.request_id_at = request_id_at
        #: "ip:port" of the client, as told by x-forwarded-for where that is believed.
        self.remote_address = remote_address
        at = len(fields) if request_id_at < 0 else request_id_at
        self.text_before_id = fields_text(fields[:at])
        self.text_after_id = fields_text(fields[at:])
        known = dict(reversed(fields))
        self.request_id = known.get("x-request-id")
        self.x_forwarded_for = known.get("x-forwarded-for")
        self.user_agent = known.get("user-agent")
        self.original_path = known.get("x-envoy-original-path")


class Trailers(IndexedFields):
    """Trailers, for whoever looks up one by its name."""

    __slots__ = ()

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._index = None

    def header_values(self, name: str) -> Sequence[str]:
        """All values of a trailer, in order."""
        return self.values(name)


class RequestHead(_MutableFields):
    """One request on its way: what routing reads (`routing.request.RequestHead`) and the router changes."""

    __slots__ = ("authority", "block", "method", "path", "prepared", "request_id", "scheme")

    def __init__(
        self,
        method: str,
        path: str,
        authority: str,
        scheme: str,
        block: HeaderBlock,
        prepared: PreparedHeaders,
    ) -> None:
        self.method = method
        self.path = path
        self.authority = authority
        self.scheme = scheme
        #: As the client sent it.
        self.block = block
        self.prepared = prepared
        self.request_id = prepared.request_id
        self.fields = None
        self.added = []

    def header_values(self, name: str) -> Sequence[str]:
        """All values of a header, in order; pseudo-headers too (`:path`, `host` is `:authority`)."""
        if name == "host" or name[:1] == ":":
            return self._pseudo_values(name)
        if self.fields is not None:
            return _values(self.fields, name)
        if name == "x-request-id":
            return [] if self.request_id is None else [self.request_id]
        found = self.prepared.values(name)
        if self.added:
            more = _values(self.added, name)
            return [*found, *more] if more else found
        return found

    def set_header(self, name: str, value: str) -> None:
        if name in ("host", ":authority"):
            self.authority = value
        elif name == ":path":
            self.path = value
        elif name == ":method":
            self.method = value
        elif name[:1] != ":":
            super().set_header(name, value)

    def set_body_length(self, length: int) -> None:
        """A filter has changed the body: so many bytes it has now; -1: nobody knows before its end."""
        self.block = self.block.with_length(length)
        if length < 0:
            self.remove_header("content-length")
        else:
            self.set_header("content-length", str(length))

    def copy(self) -> RequestHead:
        """Another head like this one, to be changed for itself."""
        twin = RequestHead(self.method, self.path, self.authority, self.scheme, self.block, self.prepared)
        twin.request_id = self.request_id
        twin.fields = self._copy() if self.fields is None else list(self.fields)
        return twin

    def header_text(self) -> str:
        """All header lines but host, for the wire."""
        if self.fields is not None:
            return fields_text(self.fields)
        prepared = self.prepared
        if prepared.request_id_at < 0:
            text = prepared.text_before_id
        else:
            text = f"{prepared.text_before_id}x-request-id: {self.request_id}\r\n{prepared.text_after_id}"
        return text + fields_text(self.added) if self.added else text

    def _pseudo_values(self, name: str) -> Sequence[str]:
        if name == ":path":
            return [self.path]
        if name == ":method":
            return [self.method]
        if name in ("host", ":authority"):
            return [self.authority]
        return [self.scheme] if name == ":scheme" else []

    def _copy(self) -> list[Field]:
        fields = list(self.prepared.fields)
        if self.prepared.request_id_at >= 0 and self.request_id is not None:
            fields.insert(self.prepared.request_id_at, ("x-request-id", self.request_id))
        fields.extend(self.added)
        return fields


class ResponseFields(IndexedFields):
    """An upstream's response headers, without those that end here: made once for each block."""

    __slots__ = ("has_date", "has_server", "text")

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        self._index = None
        names = {name for name, _ in fields}
        self.has_date = "date" in names
        self.has_server = "server" in names
        #: (server name, header lines with that name in place of the upstream's)
        self.text: tuple[str, str] | None = None

    def text_with_server(self, server: str) -> str:
        """Header lines; the server header, where there is one, says `server` (empty: untouched)."""
        made = self.text
        if made is None or made[0] != server:
            fields = self.fields
            if server:
                fields = tuple((name, server if name == "server" else value) for name, value in fields)
            made = self.text = (server, fields_text(fields))
        return made[1]


class ResponseHead(_MutableFields):
    """One response on its way back. `content_length` is -1 when the length is not known beforehand."""

    __slots__ = ("content_length", "local", "shared", "status")

    def __init__(self, status: int, shared: ResponseFields, content_length: int, local: bool = False) -> None:
        self.status = status
        self.shared = shared
        self.content_length = content_length
        #: Made by the proxy itself.
        self.local = local
        self.fields = None
        self.added = []

    def header_values(self, name: str) -> Sequence[str]:
        """All values of a header, in order; `:status` too."""
        if self.fields is not None:
            return [str(self.status)] if name == ":status" else _values(self.fields, name)
        if name == ":status":
            return [str(self.status)]
        found = self.shared.values(name)
        if self.added:
            more = _values(self.added, name)
            return [*found, *more] if more else found
        return found

    def set_body_length(self, length: int) -> None:
        """A filter has changed the body: so many bytes it has now; -1: nobody knows before its end."""
        self.content_length = length
        if length < 0:
            self.remove_header("content-length")
        else:
            self.set_header("content-length", str(length))

    def header_text(self, server: str, date: str, overwrite_server: bool) -> str:
        """All header lines, with date and server where Envoy puts them: in place, else at the end."""
        if self.fields is None:
            shared = self.shared
            text = shared.text_with_server(server if overwrite_server else "")
            if self.added:
                text += fields_text(self.added)
            has_date, has_server = shared.has_date, shared.has_server
        else:
            has_date = has_server = False
            lines: list[Field] = []
            for name, value in self.fields:
                if name == "date":
                    has_date = True
                elif name == "server":
                    has_server = True
                    value = server if overwrite_server and server else value
                lines.append((name, value))
            text = fields_text(lines)
        if not has_date:
            text += f"date: {date}\r\n"
        return text if has_server or not server else f"{text}server: {server}\r\n"

    def _copy(self) -> list[Field]:
        return [*self.shared.fields, *self.added]
