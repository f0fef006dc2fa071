"""Where an etcd is, as one URL: `etcd://user:password@host:port,host:port/prefix?ca=ca.pem&cert=proxy.pem&key=proxy.key`."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from shardproxy.errors import ConfigError

_FORM = "an etcd store is etcd://[user:password@]host:port,host:port/prefix[?ca=FILE&cert=FILE&key=FILE], or etcds:// for TLS"
_PORT = 2379
_FILES = ("ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class EtcdAddress:
    """The members to ask, and how. All keys of the store begin with `prefix` and a slash. `tls` is None where plain text is spoken."""

    endpoints: tuple[tuple[str, int], ...]
    prefix: str
    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)

    @property
    def label(self) -> str:
        """What logs and errors call it: without the user and the password."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.endpoints)
        return f"{'etcds' if self.tls else 'etcd'}://{hosts}{self.prefix}"

    @classmethod
    def parse(cls, url: str, directory: Path) -> EtcdAddress:
        """Take a URL apart; paths in it are relative to `directory`. Raises `ConfigError`, which never repeats the URL: it may hold a
        password."""
        try:
            parts = urlsplit(url)
            credentials, _, hosts = parts.netloc.rpartition("@")
            user, colon, password = credentials.partition(":")
            endpoints = tuple(_endpoint(host) for host in hosts.split(","))
            files = _files(parts)
        except ValueError as error:
            raise ConfigError("proxy.store", [f"{_FORM}: {error}"]) from None
        prefix = unquote(parts.path).rstrip("/")
        if parts.scheme not in ("etcd", "etcds") or not prefix or bool(credentials) != bool(user and colon):
            raise ConfigError("proxy.store", [_FORM])
        tls = _context(files, directory) if files or parts.scheme == "etcds" else None
        return cls(endpoints, prefix, unquote(user), unquote(password), tls)


def _endpoint(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or "@" in text:
        raise ValueError("a member is host:port")
    return parts.hostname, parts.port or _PORT


def _files(parts: SplitResult) -> dict[str, str]:
    found = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    if parts.fragment or set(found) - set(_FILES):
        raise ValueError(f"after the question mark stand {', '.join(_FILES)} only")
    if "key" in found and "cert" not in found:
        raise ValueError("a key without its certificate")
    return {name: values[-1] for name, values in found.items()}


def _context(files: dict[str, str], directory: Path) -> ssl.SSLContext:
    """Servers are always verified: by `ca`, or else by the authorities that the machine trusts."""
    paths = {name: directory / file for name, file in files.items()}
    try:
        context = ssl.create_default_context(cafile=paths.get("ca"))
        if "cert" in paths:
            # Without a password function OpenSSL would ask for one on the terminal, and a proxy would hang.
            context.load_cert_chain(paths["cert"], paths.get("key"), password=lambda: "")
    except (OSError, ValueError) as error:
        names = ", ".join(f"{name} {path}" for name, path in paths.items()) or "the machine's certificates"
        raise ConfigError("proxy.store", [f"{names} cannot be used for TLS: {error}"]) from error
    return context
