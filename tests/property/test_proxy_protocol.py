"""PROXY headers: every one that the specification knows, cut anywhere; and bytes that are none."""

import ipaddress
import itertools
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardproxy.server.gate import is_trusted
from shardproxy.server.proxy_protocol import (
    MAX_V1_BYTES,
    MAX_V2_BODY_BYTES,
    V1_PREFIX,
    V2_SIGNATURE,
    Header,
    HeaderReader,
    MalformedHeaderError,
)

# A login packet begins like this: a length under 64 KiB, then the number 1.
LOGIN = b"\x55\x00\x00\x01\x85\xa6\xff\x01"
PORTS = st.integers(0, 65535)


def version_2(command: int, family: int, body: bytes) -> bytes:
    """A header as its fields say."""
    return V2_SIGNATURE + bytes((0x20 | command, family)) + len(body).to_bytes(2, "big") + body


def read(data: bytes, cuts: tuple[int, ...] = ()) -> Header | None:
    """Feed data in pieces; what comes before the last piece must not decide, unless it is decided early by other bytes."""
    reader = HeaderReader()
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        found = reader.feed(data[start:end])
        if found is not None:
            return Header(found.version, found.host, found.rest + data[end:])
    return None


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, Header]:
    """A header, and what it says."""
    version = draw(st.sampled_from((4, 6)))
    source, target = (draw(st.ip_addresses(v=version)) for _ in range(2))
    ports = [draw(PORTS), draw(PORTS)]
    mapped = source.ipv4_mapped if isinstance(source, ipaddress.IPv6Address) else None
    host = str(mapped or source)
    tlvs = draw(st.binary(max_size=300))
    kind = draw(st.sampled_from(("v1", "v2", "local", "unknown", "unspecified", "unix")))
    if kind == "v1":
        return b"PROXY TCP%d %s %s %d %d\r\n" % (version, str(source).encode(), str(target).encode(), *ports), Header(1, host, b"")
    if kind == "unknown":
        extra = draw(st.sampled_from((b"", b" ffff:f...f:ffff ffff:f...f:ffff 65535 65535")))
        return b"PROXY UNKNOWN" + extra + b"\r\n", Header(1, None, b"")
    if kind == "v2":
        body = source.packed + target.packed + b"".join(port.to_bytes(2, "big") for port in ports)
        return version_2(1, 0x11 if version == 4 else 0x21, body + tlvs), Header(2, host, b"")
    if kind == "unix":
        return version_2(1, 0x31, b"/a".ljust(108, b"\0") * 2 + tlvs), Header(2, "localhost", b"")
    return version_2(0 if kind == "local" else 1, 0, tlvs), Header(2, None, b"")


@given(headers(), st.binary(max_size=50), st.lists(st.integers(0, 1000), max_size=8))
def test_header_is_read_however_it_is_cut(header: tuple[bytes, Header], behind: bytes, cuts: list[int]) -> None:
    """And what stands behind it, a ClientHello perhaps, is neither read nor lost."""
    data, wanted = header
    assert read(data + behind, tuple(cuts)) == Header(wanted.version, wanted.host, behind)


@given(headers())
def test_header_is_read_byte_by_byte(header: tuple[bytes, Header]) -> None:
    """Its last byte decides, and no earlier one."""
    data, wanted = header
    reader = HeaderReader()
    assert all(reader.feed(data[i : i + 1]) is None for i in range(len(data) - 1))
    assert reader.feed(data[-1:]) == wanted


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_anything_is_read_or_refused(data: bytes, cuts: list[int]) -> None:
    """Never another exception, and never a byte lost."""
    for prefix in (b"", V1_PREFIX, V2_SIGNATURE, V2_SIGNATURE + b"\x21", b"PROXY TCP4 1.2.3.4 "):
        try:
            found = read(prefix + data, tuple(cuts))
        except MalformedHeaderError:
            continue
        if found is not None:
            assert (prefix + data).endswith(found.rest)
            assert found.version or found.rest == prefix + data


@given(st.integers(0, 64 * 1024), st.lists(st.integers(0, 20), max_size=5))
def test_login_without_header_is_passed_on(size: int, cuts: list[int]) -> None:
    """A peer of a trusted network need not send one; it is told apart by its first packet's head."""
    data = size.to_bytes(3, "little") + b"\x01" + LOGIN
    assert read(data, tuple(cuts)) == Header(0, None, data)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        b"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n\r\n",
        b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP4 1.2.3.4' 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 ١ 2\r\n".encode(),
        b"PROXY " + b"x" * MAX_V1_BYTES,
        b"PROXY UNKNOWN " + b"x" * (MAX_V1_BYTES - 15) + b"\r\n",
        version_2(2, 0x11, b"\0" * 12),
        V2_SIGNATURE + b"\x11\x11\x00\x0c" + b"\0" * 12,
        version_2(1, 0x11, b"\0" * 11),
        version_2(1, 0x21, b"\0" * 35),
        version_2(1, 0x31, b"\0" * 215),
        version_2(1, 0x12, b"\0" * 12),
        version_2(1, 0x41, b"\0" * 300),
        V2_SIGNATURE + b"\x21\x11" + (MAX_V2_BODY_BYTES + 1).to_bytes(2, "big"),
    ],
    ids=lambda header: repr(header)[:50],
)
def test_malformed_header_is_refused(header: bytes) -> None:
    """Neither guessed at nor waited for."""
    with pytest.raises(MalformedHeaderError):
        read(header)
    with pytest.raises(MalformedHeaderError):
        read(header, tuple(range(len(header))))


def test_longest_line_is_read() -> None:
    """107 bytes with the newline; the specification's own worst case."""
    line = b"PROXY UNKNOWN " + b"x" * (MAX_V1_BYTES - 16) + b"\r\n"
    assert len(line) == MAX_V1_BYTES
    assert read(line) == Header(1, None, b"")


def test_addresses_are_trusted_by_network() -> None:
    """Also where the system gives an IPv4 peer in the form of IPv6, or with the name of a link."""
    networks = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "fe80::/10", "192.0.2.7")]
    for host in ("10.1.2.3", "::ffff:10.1.2.3", "fe80::1%eth0", "192.0.2.7"):
        assert is_trusted(host, networks), host
    for host in ("11.0.0.1", "::1", "::ffff:11.0.0.1", "192.0.2.8", socket.inet_ntop(socket.AF_INET6, b"\0" * 12 + b"\x0a\0\0\1")):
        assert not is_trusted(host, networks), host
