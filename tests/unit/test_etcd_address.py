"""URLs of etcd stores."""

from pathlib import Path

import pytest

from shardproxy.errors import ConfigError
from shardproxy.store.etcd_address import EtcdAddress
from shardproxy.store.etcd_store import EtcdStore

HERE = Path()


def test_url_with_everything() -> None:
    """Members, prefix, user and password, each with what has to be escaped."""
    address = EtcdAddress.parse("etcd://s%40p:a%3Ab%2Fc@one:2381,two,[::1]:2379/team%20a/proxy/", HERE)
    assert address == EtcdAddress((("one", 2381), ("two", 2379), ("::1", 2379)), "/team a/proxy", "s@p", "a:b/c")
    assert address.tls is None


def test_label_has_no_secrets() -> None:
    """Nor does a repr."""
    store = EtcdStore("etcd://user:secret@one:2379,[::1]:2379/proxy")
    assert store.label == "etcd://one:2379,[::1]:2379/proxy"
    assert "secret" not in repr(EtcdAddress.parse("etcd://user:secret@one/proxy", HERE))


def test_tls_by_the_machines_authorities() -> None:
    """Servers are verified."""
    address = EtcdAddress.parse("etcds://one/proxy", HERE)
    assert address.tls is not None
    assert address.tls.check_hostname
    assert address.label == "etcds://one:2379/proxy"


@pytest.mark.parametrize(
    "url",
    [
        "etcd://secret",
        "etcd://secret:secret@one:2379",
        "etcd://secret:secret@/proxy",
        "etcd://secret:secret@one,/proxy",
        "etcd://secret:secret@one:port/proxy",
        "etcd://secret:secret@one:99999/proxy",
        "etcd://secret@one/proxy",
        "etcd://:secret@one/proxy",
        "etcd://secret:secret@one/proxy?secret=secret",
        "etcd://secret:secret@one/proxy?key=secret",
        "etcd://secret:secret@one/proxy#secret",
        "etcd://secret:secret@[::1/proxy",
        "http://secret:secret@one/proxy",
    ],
)
def test_what_is_no_url_of_a_store_is_refused(url: str) -> None:
    """Without repeating it."""
    with pytest.raises(ConfigError) as caught:
        EtcdAddress.parse(url, HERE)
    assert "etcd://" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_certificate_that_is_not_there(tmp_path: Path) -> None:
    """The file is named, as it is looked for."""
    with pytest.raises(ConfigError, match=f"{tmp_path}/missing.pem cannot be used"):
        EtcdAddress.parse("etcd://one/proxy?ca=missing.pem", tmp_path)
