"""Secrets that have names: from the bootstrap, from watched files, from ADS; and who uses them.

A transport socket is bound to the secrets it names. When one changes, the contexts of every socket bound to
it are made anew; when one of them cannot be, none is changed and the secret is refused.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from minimesh.data_plane.network.tls.client import ClientTls
from minimesh.data_plane.network.tls.server import ServerTls
from minimesh.data_plane.network.tls.settings import KeyPair, TlsSettingsError, Validation
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.secret import Secret, compile_secret, secrets_of_file
from minimesh.data_plane.xds_client.compile.secret import compile_validation as compile_validation

if TYPE_CHECKING:
    from minimesh.data_plane.network.timers import TimerWheel

#: How often a file that holds a secret is looked at.
WATCH_INTERVAL_S = 0.25
#: Where a secret of the bootstrap comes from.
STATIC_SOURCE = "static"
_ADS = "ads"
Socket = ServerTls | ClientTls


@dataclass(slots=True, eq=False)
class SecretHolder:
    """One secret by name and source; `secret` is None until it came."""

    name: str
    source: str
    """`static`, `ads` or the path of a file."""
    secret: Secret | None = None
    version: str = ""
    updated_at: float = 0.0
    bound: WeakKeyDictionary[Socket, Binding] = field(default_factory=WeakKeyDictionary)


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a transport socket takes its secrets from."""

    key_pairs: tuple[KeyPair, ...] = ()
    certificate_holders: tuple[SecretHolder, ...] = ()
    validation: Validation | None = None
    default_validation: Any = None
    """A CertificateValidationContext that the named one is merged into."""
    validation_holder: SecretHolder | None = None

    @property
    def holders(self) -> tuple[SecretHolder, ...]:
        """Every secret it waits for."""
        holder = self.validation_holder
        return (*self.certificate_holders, holder) if holder is not None else self.certificate_holders

    def bind(self, socket: Socket) -> None:
        """Prepare a socket, now and whenever a secret changes. Raises TlsSettingsError, CompileError."""
        for holder in self.holders:
            holder.bound[socket] = self
        self.apply(socket)

    def apply(self, socket: Socket) -> None:
        """Prepare it if all secrets are there. Raises TlsSettingsError, CompileError."""
        if any(holder.secret is None for holder in self.holders):
            return
        key_pairs = [*self.key_pairs]
        for holder in self.certificate_holders:
            assert holder.secret is not None
            if holder.secret.key_pair is None:
                raise TlsSettingsError(f"secret {holder.name!r} is no tls_certificate")
            key_pairs.append(holder.secret.key_pair)
        socket.prepare(key_pairs, self._validation())

    def _validation(self) -> Validation | None:
        holder = self.validation_holder
        if holder is None or holder.secret is None:
            return self.validation
        if holder.secret.validation is None:
            raise TlsSettingsError(f"secret {holder.name!r} is no validation_context")
        if self.default_validation is None:
            return holder.secret.validation
        merged = type(self.default_validation)()
        merged.CopyFrom(self.default_validation)
        merged.MergeFrom(holder.secret.message.validation_context)
        return compile_validation(merged, "combined_validation_context")


class SecretStore:
    """All secrets of one proxy."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], SecretHolder] = {}
        self._static: dict[str, Secret] = {}
        self._watched: dict[str, float] = {}
        self._watching = False
        #: Without it files are read once.
        self.timers: TimerWheel | None = None
        #: Told after a file has brought secrets.
        self.on_change: Callable[[], None] = lambda: None
        #: Told what an operator should know.
        self.report: Callable[[str], None] = lambda text: None

    @property
    def ads_names(self) -> list[str]:
        """What is to be asked for over ADS: secrets that a transport socket still uses."""
        return sorted({each.name for each in self.holders() if each.source == _ADS})

    def holders(self) -> Iterator[SecretHolder]:
        """Secrets in use, those that have not come included."""
        for key, holder in list(self._holders.items()):
            if holder.bound or holder.source == STATIC_SOURCE:
                yield holder
            else:
                del self._holders[key]

    def add_static(self, message: Any, path: str) -> None:
        """A secret of the bootstrap. Raises CompileError."""
        secret = compile_secret(message, path)
        if secret.name in self._static:
            raise CompileError(join(path, "name"), f"secret {secret.name!r} is there twice")
        self._static[secret.name] = secret
        self._holders[STATIC_SOURCE, secret.name] = SecretHolder(
            secret.name, STATIC_SOURCE, secret, updated_at=time.time()
        )

    def holder_for(self, config: Any, path: str) -> SecretHolder:
        """The holder of the secret that an SdsSecretConfig names. Raises CompileError."""
        refuse_unsupported(config, path, frozenset({"name", "sds_config"}))
        source = self._source(config, path)
        key = (source, config.name)
        holder = self._holders.get(key)
        if holder is None:
            if source == STATIC_SOURCE:
                raise CompileError(join(path, "name"), f"unknown static secret: {config.name!r}")
            holder = self._holders[key] = SecretHolder(config.name, source)
        if source not in (STATIC_SOURCE, _ADS) and holder.secret is None:
            self._watch(source)
        return holder

    def update(self, messages: Sequence[Any], version: str = "", source: str = _ADS) -> None:
        """Secrets have come. Raises CompileError; nothing of them is in force then."""
        secrets = [compile_secret(message, message.name) for message in messages]
        changed: list[tuple[SecretHolder, Secret | None]] = []
        try:
            for secret in secrets:
                holder = self._holders.get((source, secret.name))
                if holder is not None and (holder.secret is None or holder.secret.message != secret.message):
                    changed.append((holder, holder.secret))
                    holder.secret = secret
            self._apply(holder for holder, _ in changed)
        except (TlsSettingsError, CompileError) as error:
            for holder, before in changed:
                holder.secret = before
            self._apply(holder for holder, _ in changed)
            raise CompileError("", str(error)) from None
        for holder, _ in changed:
            holder.version, holder.updated_at = version, time.time()

    def _source(self, config: Any, path: str) -> str:
        if not config.HasField("sds_config"):
            return STATIC_SOURCE
        kind = config.sds_config.WhichOneof("config_source_specifier")
        if kind == "path_config_source":
            return str(config.sds_config.path_config_source.path)
        if kind == "path":
            return str(config.sds_config.path)
        if kind == "ads":
            return _ADS
        raise CompileError(join(path, "sds_config"), f"{kind or 'source'}: only ads and files are supported")

    @staticmethod
    def _apply(holders: Iterator[SecretHolder]) -> None:
        sockets: dict[Socket, Binding] = {}
        for holder in holders:
            sockets.update(holder.bound)
        for socket, binding in sockets.items():
            binding.apply(socket)

    def _watch(self, file: str) -> None:
        if file in self._watched:
            return
        self._read_file(file)
        if self.timers is not None and not self._watching:
            self._watching = True
            self.timers.call_after(WATCH_INTERVAL_S, self._look_at_files)

    def _look_at_files(self) -> None:
        if self.timers is not None:
            self.timers.call_after(WATCH_INTERVAL_S, self._look_at_files)
        for file, seen in list(self._watched.items()):
            if _changed_at(file) != seen and self._read_file(file):
                self.on_change()

    def _read_file(self, file: str) -> bool:
        """Whether it brought something new that is good."""
        self._watched[file] = _changed_at(file)
        try:
            self.update(secrets_of_file(file), source=file)
        except CompileError as error:
            self.report(f"SDS update rejected: {file}: {error}")
            return False
        return True


def _changed_at(file: str) -> float:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0.0
