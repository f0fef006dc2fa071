"""The codec under hostile and oddly cut bytes: the same messages whatever the chunks, and errors instead of crashes."""

import itertools
from collections.abc import Callable, Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shardproxy.errors import ProxyError
from shardproxy.protocol.auth import verifier_for
from shardproxy.protocol.flags import OFFERED, Capability
from shardproxy.protocol.framing import PacketReader, encode_packet
from shardproxy.protocol.handshake import (
    Login,
    build_login,
    is_ssl_request,
    parse_auth_switch,
    parse_change_user,
    parse_greeting,
    parse_login,
)
from shardproxy.protocol.packets import (
    EofPacket,
    ErrPacket,
    OkPacket,
    build_eof,
    build_err,
    build_ok,
    parse_eof,
    parse_err,
    parse_ok,
)
from shardproxy.protocol.result_reader import ResultReader
from shardproxy.protocol.resultset import ColumnDefinition, build_row, encode_header, parse_column, parse_row
from shardproxy.protocol.scanner import DONE, ResponseScanner
from shardproxy.protocol.wire_types import read_lenenc_bytes, read_lenenc_int, read_nul_bytes
from shardproxy.server.login import LoginExchange, Step

settings.register_profile("codec", max_examples=200, suppress_health_check=[HealthCheck.too_slow])
CODEC = settings(settings.get_profile("codec"), deadline=None)

small = st.binary(max_size=300)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
words = st.integers(0, 0xFFFF)
big = st.integers(0, (1 << 64) - 1)


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    edges = [0, *cuts, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


# Without the bit that announces another result.
last_status = st.integers(0, 0xFFFF).map(lambda status: status & ~8)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A server's whole answer: an OK, an ERR, or columns and rows that end with an EOF or an ERR."""
    ok = build_ok(OkPacket(draw(big), draw(big), draw(last_status), draw(words), draw(small)))
    error = build_err(ErrPacket(draw(words), "HY000", draw(names)))
    kind = draw(st.sampled_from(["ok", "error", "rows", "rows", "rows", "broken off"]))
    if kind == "ok":
        return encode_packet(ok, 1)
    if kind == "error":
        return encode_packet(error, 1)
    columns = [
        ColumnDefinition(name.encode(), 253, schema=b"app", table=b"t", org_name=name.encode())
        for name in draw(st.lists(names, min_size=1, max_size=300 if draw(st.booleans()) else 4))
    ]
    data, sequence = encode_header(columns, draw(words))
    values = st.one_of(st.none(), small, st.sampled_from([b"", b"\xfe", b"\xff" * 9, b"x" * 251, b"y" * 70_000]))
    parts = [data]
    for _ in range(draw(st.integers(0, 8))):
        parts.append(encode_packet(build_row([draw(values) for _ in columns[:5]] + [b""] * len(columns[5:])), sequence))
        sequence += 1
    end = error if kind == "broken off" else build_eof(EofPacket(draw(words), draw(last_status)))
    return b"".join([*parts, encode_packet(end, sequence)])


# ---------------------------------------------------------------- framing


@CODEC
@given(st.data(), st.lists(st.binary(max_size=2000), max_size=12))
def test_payloads_are_the_same_under_any_chunking(data: st.DataObject, payloads: list[bytes]) -> None:
    """However a stream is cut, the reader gives the payloads that were framed."""
    stream = b"".join(encode_packet(payload, 0) for payload in payloads)
    reader = PacketReader(1 << 16)
    found = []
    for chunk in data.draw(chunked(stream)):
        reader.feed(chunk)
        while (payload := reader.next_payload()) is not None:
            found.append(payload)
    assert found == payloads
    assert reader.buffered == 0


@CODEC
@given(st.lists(st.binary(max_size=400), max_size=20), st.integers(1, 500))
def test_reader_survives_anything(chunks: list[bytes], limit: int) -> None:
    """Random bytes give payloads under the limit, a wait for more, or an error of the catalogue."""
    reader = PacketReader(limit, expect=None)

    def read() -> None:
        for chunk in chunks:
            reader.feed(chunk)
            while (payload := reader.next_payload()) is not None:
                assert len(payload) <= limit

    _gives_or_refuses(read)


# ---------------------------------------------------------------- responses


@CODEC
@given(st.data(), responses())
def test_scanner_forwards_exactly_what_came(data: st.DataObject, response: bytes) -> None:
    """Byte for byte, whatever the chunks, and it finds the end where the reader that decodes finds it."""
    scanner, reader = ResponseScanner(), ResultReader()
    forwarded = b""
    for chunk in data.draw(chunked(response)):
        forwarded += scanner.feed(chunk)
        reader.feed(chunk)
        assert (scanner.state == DONE) == reader.done
    assert scanner.state == DONE
    assert forwarded + scanner.final == response
    assert encode_packet(scanner.terminal, scanner.sequence) == scanner.final[scanner.terminal_start :]
    assert scanner.rows == len(reader.rows)
    if scanner.terminal[0] == 0xFE:
        assert parse_eof(scanner.terminal) == reader.eof
    elif scanner.terminal[0] == 0xFF:
        assert parse_err(scanner.terminal) == reader.error
    else:
        assert parse_ok(scanner.terminal) == reader.ok


@CODEC
@given(responses(), st.data())
def test_response_cut_anywhere_is_not_over(response: bytes, data: st.DataObject) -> None:
    """Every proper beginning of an answer waits for more."""
    cut = data.draw(st.integers(0, len(response) - 1))
    scanner, reader = ResponseScanner(), ResultReader()
    assert scanner.feed(response[:cut]) + scanner.pending == response[:cut]
    reader.feed(response[:cut])
    assert scanner.state != DONE
    assert not reader.done


@CODEC
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_response_of_random_bytes_never_crashes(chunks: list[bytes]) -> None:
    """A server that is out of its mind costs its own connection."""
    scanner, reader, columns = ResponseScanner(), ResultReader(), ResultReader.of_columns()

    def scan() -> None:
        for chunk in chunks:
            if scanner.state != DONE:
                scanner.feed(chunk)

    _gives_or_refuses(scan)
    for one in (reader, columns):
        _gives_or_refuses(lambda one=one: [one.feed(chunk) for chunk in chunks])  # type: ignore[misc]


@CODEC
@given(responses(), st.data())
def test_damaged_response_never_crashes(response: bytes, data: st.DataObject) -> None:
    """One byte of a good answer is changed: it is followed, waited for, or refused."""
    at = data.draw(st.integers(0, len(response) - 1))
    damaged = response[:at] + bytes((data.draw(st.integers(0, 255)),)) + response[at + 1 :]
    scanner, reader = ResponseScanner(), ResultReader()
    _gives_or_refuses(lambda: scanner.feed(damaged))
    _gives_or_refuses(lambda: reader.feed(damaged))
    if scanner.state == DONE:
        parse = {0x00: parse_ok, 0xFE: parse_eof, 0xFF: parse_err}[scanner.terminal[0]]
        _gives_or_refuses(lambda: parse(scanner.terminal))


# ---------------------------------------------------------------- packets


@CODEC
@given(big, big, words, words, small)
def test_ok_round_trip(affected: int, insert_id: int, status: int, warnings: int, info: bytes) -> None:
    """What is built is what is read."""
    ok = OkPacket(affected, insert_id, status, warnings, info)
    assert parse_ok(build_ok(ok)) == ok


@CODEC
@given(st.lists(st.one_of(st.none(), st.binary(max_size=600)), max_size=20))
def test_row_round_trip(values: list[bytes | None]) -> None:
    """NULLs, empty strings and every width of a length."""
    assert parse_row(build_row(values), len(values)) == tuple(values)


@CODEC
@given(st.binary(max_size=200), st.integers(0, 300))
def test_parsers_of_random_bytes_never_crash(data: bytes, number: int) -> None:
    """A malformed packet is an error of the catalogue, and nothing else."""
    parsers: list[Callable[[], object]] = [
        lambda: parse_login(data, OFFERED),
        lambda: parse_login(data, number),
        lambda: parse_login((OFFERED | Capability.SSL).to_bytes(4, "little") + data.rjust(60, b"\0"), OFFERED),
        lambda: parse_change_user(data, OFFERED),
        lambda: parse_greeting(data),
        lambda: parse_greeting(b"\x0a" + data),
        lambda: parse_auth_switch(b"\xfe" + data),
        lambda: parse_column(data),
        lambda: parse_row(data, number),
        lambda: parse_ok(b"\0" + data),
        lambda: parse_err(b"\xff" + data),
        lambda: parse_eof(b"\xfe" + data),
        lambda: is_ssl_request(data),
        lambda: read_lenenc_int(data, number),
        lambda: read_lenenc_bytes(data, number),
        lambda: read_nul_bytes(data, number),
    ]
    for parse in parsers:
        _gives_or_refuses(parse)


LOGINS = st.builds(
    Login,
    user=names,
    auth_response=st.binary(max_size=100),
    capabilities=st.just(int(OFFERED)),
    max_packet_bytes=st.integers(0, (1 << 32) - 1),
    charset=st.integers(0, 255),
    database=st.one_of(st.none(), names.filter(bool)),
    plugin=names,
    attributes=st.dictionaries(names, names, max_size=5),
)


@CODEC
@given(LOGINS)
def test_login_round_trip(login: Login) -> None:
    """Every field that a driver can send comes out as it went in."""
    assert parse_login(build_login(login), OFFERED) == login


@CODEC
@given(LOGINS, st.data())
def test_truncated_login_is_refused_or_shorter(login: Login, data: st.DataObject) -> None:
    """Cut at any byte it is an error, or a login that lacks what was cut off."""
    payload = build_login(login)
    cut = payload[: data.draw(st.integers(0, len(payload) - 1))]
    for parsed in _gives_or_refuses(lambda: parse_login(cut, OFFERED)):
        assert isinstance(parsed, Login)
        assert parsed.user == login.user
        assert parsed.auth_response == login.auth_response


@CODEC
@given(st.lists(st.one_of(st.binary(max_size=300), LOGINS.map(build_login)), max_size=6), st.booleans(), st.booleans())
def test_no_exchange_of_random_packets_logs_anybody_in(packets: list[bytes], secure: bool, native: bool) -> None:
    """Whatever is sent, nobody becomes a user without the password."""
    verifiers = {"app": verifier_for("app"), "stored": verifier_for("$A$005$" + "s" * 20 + "x" * 43)}
    plugin = "mysql_native_password" if native else "caching_sha2_password"
    exchange = LoginExchange(verifiers, plugin, OFFERED, "host", secure=secure)

    def talk() -> None:
        for packet in packets:
            reply = exchange.receive(packet)
            assert not reply.done
            if exchange.step is Step.DONE:
                assert reply.password is not None
                return

    _gives_or_refuses(talk)


def _gives_or_refuses(work: Callable[[], object]) -> Iterable[object]:
    """The result, or nothing where it was refused by an error of the catalogue; anything else is a failure."""
    try:
        return [work()]
    except ProxyError:
        return []
