"""The catalogue of errors: what operators search for and drivers act on."""

import re

import pytest

from shardproxy.errors import CATALOGUE, INTERNAL, ErrorSpec, ProxyError


@pytest.mark.parametrize("spec", CATALOGUE.values(), ids=lambda spec: spec.id)
def test_entry_is_usable(spec: ErrorSpec) -> None:
    """A stable id, a server's errno, a SQLSTATE that does not make pools evict the connection, and a summary."""
    assert re.fullmatch(r"SP\d{4}", spec.id)
    assert 1000 <= spec.errno < 5000
    assert re.fullmatch(r"[0-9A-Z]{5}", spec.sqlstate)
    assert spec.sqlstate != "0A000"
    assert spec.summary


def test_message_starts_with_the_id_unless_it_is_a_server_s_own() -> None:
    """Applications parse some messages; everything else can be searched for by its id."""
    assert ProxyError(INTERNAL, "what happened").message == "SP1901: what happened"
    assert ProxyError(INTERNAL, "as the server says", plain=True).message == "as the server says"
    assert ProxyError(INTERNAL).message == f"SP1901: {INTERNAL.summary}"
