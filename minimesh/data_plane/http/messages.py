"""Request and response heads, as routing, filters, mutations and codecs see them.

Both begin as views of a shared, immutable block. The first change to a header that is already there makes a
private list; until then a head is written to the wire as text that was made once for its block. Where heads
repeat but for some values, the block has places (see `block_memo`) and each head brings its own values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minimesh.data_plane.http.block_memo import LAST, Template, Values, fill, place_number
from minimesh.data_plane.http.header_block import WELL_KNOWN, Field, HeaderBlock, IndexedFields
from minimesh.data_plane.routing.request import PeerCertificate

#: Repetitions of these are joined by a comma when a header is added; all others get a line of their own.
_JOINED_IN_RESPONSES = frozenset({"cache-control", "content-type"})
_PSEUDO_NAMES_BYTES = len(":method:path:authority:scheme")
_JOINED_IN_REQUESTS = _JOINED_IN_RESPONSES | {"accept", "accept-encoding", "user-agent"}


def fields_text(fields: Sequence[Field]) -> str:
    """Header lines, each with its line end."""
    return "".join([f"{name}: {value}\r\n" for name, value in fields])


def _filled(fields: Sequence[Field], values: Values) -> list[Field]:
    return [(name, fill(value, values)) for name, value in fields] if values else list(fields)


def _values(fields: Sequence[Field], name: str) -> list[str]:
    return [value for key, value in fields if key == name]


class _MutableFields:
    """Changing headers of a head. Names are lower case."""

    __slots__ = ("added", "fields")

    _joined_when_added = _JOINED_IN_RESPONSES
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
        if name in self._joined_when_added:
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
        "closes", "original_path", "peer_certificate", "remote_address", "request_id", "request_id_at",
        "request_id_value", "scheme", "template", "upgrades", "user_agent", "x_forwarded_for",
    )  # fmt: skip

    def __init__(self, fields: tuple[Field, ...], request_id_at: int, remote_address: str) -> None:
        self.fields = fields
        self._index = None
        #: Where a new x-request-id goes; -1: the client's own stays, or none is wanted.
        self.request_id_at = request_id_at
        #: "ip:port" of the client, as told by x-forwarded-for where that is believed; empty: the peer itself.
        self.remote_address = remote_address
        lines = list(fields)
        if request_id_at >= 0:
            lines.insert(request_id_at, ("x-request-id", LAST))
        #: The header lines for the wire; a generated x-request-id is the last of the values.
        self.template = Template(fields_text(lines))
        known = dict(reversed(fields))
        self.request_id = known.get("x-request-id")
        #: Which of the values is the x-request-id; -1: none.
        self.request_id_value = place_number(self.request_id)
        self.x_forwarded_for = known.get("x-forwarded-for")
        self.user_agent = known.get("user-agent")
        self.original_path = known.get("x-envoy-original-path")
        #: The client wants the connection closed after the response (`connection: close`).
        self.closes = False
        #: The client asks to change protocols.
        self.upgrades = False
        #: `http` or `https`, as told by headers that are believed; empty: what the connection is.
        self.scheme = ""
        #: Of the client, where the connection is TLS.
        self.peer_certificate: PeerCertificate | None = None


class Trailers(IndexedFields):
    """Trailers, for whoever looks up one by its name."""

    __slots__ = ()

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._index = None

    def header_values(self, name: str) -> Sequence[str]:
        """All values of a trailer, in order."""
        return self.values(name)


class MutableTrailers(_MutableFields):
    """Trailers while they are being changed."""

    __slots__ = ()

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = list(fields)
        self.added = []

    def header_values(self, name: str) -> Sequence[str]:
        """All values of a trailer, in order."""
        return _values(self.mutable_fields(), name)


class RequestHead(_MutableFields):
    """One request on its way: what routing reads (`routing.request.RequestHead`) and the router changes."""

    __slots__ = ("authority", "block", "method", "path", "prepared", "request_id", "scheme", "values")

    _joined_when_added = _JOINED_IN_REQUESTS

    def __init__(
        self,
        method: str,
        path: str,
        authority: str,
        scheme: str,
        block: HeaderBlock,
        prepared: PreparedHeaders,
        values: Values = (),
    ) -> None:
        self.method = method
        self.path = path
        self.authority = authority
        self.scheme = scheme
        #: As the client sent it.
        self.block = block
        self.prepared = prepared
        #: What stands in the places of `block` and `prepared`.
        self.values = values
        at = prepared.request_id_value
        self.request_id = prepared.request_id if at < 0 else values[at]
        self.fields = None
        self.added = []

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """What is known of the client's certificate; None on plain text."""
        return self.prepared.peer_certificate

    def header_values(self, name: str) -> Sequence[str]:
        """All values of a header, in order; pseudo-headers too (`:path`, `host` is `:authority`)."""
        if name == "host" or name[:1] == ":":
            return self._pseudo_values(name)
        if self.fields is not None:
            return _values(self.fields, name)
        if name == "x-request-id":
            return [] if self.request_id is None else [self.request_id]
        found = self.prepared.values(name)
        if found and self.values:
            found = [fill(value, self.values) for value in found]
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

    def sent_values(self, name: str) -> Sequence[str]:
        """All values of a header as the client sent it, whatever was made of it since."""
        found = self.prepared.values(name)
        return [fill(value, self.values) for value in found] if found and self.values else found

    def copy(self) -> RequestHead:
        """Another head like this one, to be changed for itself."""
        twin = RequestHead(
            self.method, self.path, self.authority, self.scheme, self.block, self.prepared, self.values
        )
        twin.request_id = self.request_id
        twin.fields = self._copy() if self.fields is None else list(self.fields)
        return twin

    def header_text(self) -> str:
        """All header lines but host, for the wire."""
        if self.fields is not None:
            return fields_text(self.fields)
        prepared, values = self.prepared, self.values
        template = prepared.template
        if prepared.request_id_at >= 0:
            text = template.fill((*values, self.request_id or ""))
        else:
            text = template.fill(values) if values else template.whole
        return text + fields_text(self.added) if self.added else text

    def byte_size(self) -> int:
        """Names and values of all headers, pseudo-headers included."""
        pseudo = (self.method, self.path, self.authority, self.scheme)
        text = self.header_text()
        lines = text.count("\r\n")
        return _PSEUDO_NAMES_BYTES + sum(map(len, pseudo)) + len(text) - len(": \r\n") * lines

    def _pseudo_values(self, name: str) -> Sequence[str]:
        if name == ":path":
            return [self.path]
        if name == ":method":
            return [self.method]
        if name in ("host", ":authority"):
            return [self.authority]
        return [self.scheme] if name == ":scheme" else []

    def _copy(self) -> list[Field]:
        fields = _filled(self.prepared.fields, self.values)
        if self.prepared.request_id_at >= 0 and self.request_id is not None:
            fields.insert(self.prepared.request_id_at, ("x-request-id", self.request_id))
        fields.extend(self.added)
        return fields


_SERVICE_TIME = "x-envoy-upstream-service-time"


class ResponseFields(IndexedFields):
    """An upstream's response headers, without those that end here: made once for each block."""

    __slots__ = ("_templates", "has_date", "has_server", "has_service_time", "tells_outcome")

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        self._index = None
        names = {name for name, _ in fields}
        self.has_date = "date" in names
        self.has_server = "server" in names
        self.has_service_time = _SERVICE_TIME in names
        #: Has headers that say how it went whatever the status: what retries look at.
        self.tells_outcome = not names.isdisjoint(("grpc-status", "x-envoy-ratelimited"))
        self._templates: dict[tuple[str, bool], Template] = {}

    def template(self, server: str, new_service_time: bool) -> Template:
        """Header lines; the server header, where there is one, says `server` (empty: untouched).

        `new_service_time`: x-envoy-upstream-service-time has the last of the values in place of its own.
        """
        key = (server, new_service_time)
        made = self._templates.get(key)
        if made is None:
            fields = self.fields
            if server:
                fields = tuple((name, server if name == "server" else value) for name, value in fields)
            if new_service_time:
                fields = tuple((name, LAST if name == _SERVICE_TIME else value) for name, value in fields)
            made = self._templates[key] = Template(fields_text(fields))
        return made


class ResponseHead(_MutableFields):
    """One response on its way back. `content_length` is -1 when the length is not known beforehand."""

    __slots__ = ("content_length", "local", "service_time", "shared", "status", "values")

    def __init__(
        self,
        status: int,
        shared: ResponseFields,
        content_length: int,
        local: bool = False,
        values: Values = (),
    ) -> None:
        self.status = status
        self.shared = shared
        self.content_length = content_length
        #: Made by the proxy itself.
        self.local = local
        #: What stands in the places of `shared`.
        self.values = values
        #: x-envoy-upstream-service-time in place of the one that the upstream sent; None: as it is.
        self.service_time: str | None = None
        self.fields = None
        self.added = []

    def set_service_time(self, value: str) -> None:
        """Set x-envoy-upstream-service-time: what `set_header` does, made cheap for every response."""
        if self.fields is not None:
            self.set_header(_SERVICE_TIME, value)
        elif self.shared.has_service_time:
            self.service_time = value
        else:
            self.added.append((_SERVICE_TIME, value))

    def header_values(self, name: str) -> Sequence[str]:
        """All values of a header, in order; `:status` too."""
        if name == ":status":
            return [str(self.status)]
        if self.fields is not None:
            return _values(self.fields, name)
        if name == _SERVICE_TIME and self.service_time is not None:
            return [self.service_time]
        found = self.shared.values(name)
        if found and self.values:
            found = [fill(value, self.values) for value in found]
        if self.added:
            more = _values(self.added, name)
            return [*found, *more] if more else found
        return found

    def add_header(self, name: str, value: str) -> None:
        if name in ("date", "server"):
            self.mutable_fields()  # only there is looked whether the proxy still has to add these
        super().add_header(name, value)

    def set_body_length(self, length: int) -> None:
        """A filter has changed the body: so many bytes it has now; -1: nobody knows before its end."""
        self.content_length = length
        if length < 0:
            self.remove_header("content-length")
        else:
            self.set_header("content-length", str(length))

    def header_text(self, server: str, date: Callable[[], str], overwrite_server: bool) -> str:
        """All header lines, with date and server where Envoy puts them: in place, else at the end."""
        if self.fields is not None:
            return self._own_text(server, date(), overwrite_server)
        shared, values, service_time = self.shared, self.values, self.service_time
        template = shared.template(server if overwrite_server else "", service_time is not None)
        if service_time is not None:
            text = template.fill((*values, service_time))
        else:
            text = template.fill(values) if values else template.whole
        for name, value in self.added:
            text += f"{name}: {value}\r\n"
        if not shared.has_date:
            text += f"date: {date()}\r\n"
        return text if shared.has_server or not server else f"{text}server: {server}\r\n"

    def _own_text(self, server: str, date: str, overwrite_server: bool) -> str:
        """The same for a head with headers of its own."""
        lines = []
        has_date = has_server = False
        for name, value in self.mutable_fields():
            if name == "date":
                has_date = True
            elif name == "server":
                has_server = True
                value = server if overwrite_server and server else value
            lines.append((name, value))
        if not has_date:
            lines.append(("date", date))
        if server and not has_server:
            lines.append(("server", server))
        return fields_text(lines)

    def _copy(self) -> list[Field]:
        fields = _filled(self.shared.fields, self.values)
        if self.service_time is not None:
            fields = [(n, self.service_time if n == _SERVICE_TIME else value) for n, value in fields]
        return fields + self.added
