"""A shard's server that lies costs the client that asked it, and nobody else: an error or a close, in time, in bounded memory."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.conftest import Shards
from tests.support.binary import BinaryClient, integer
from tests.support.liar import Liar, Lie
from tests.support.proxy import ProxyProcess
from tests.support.servers import PASSWORD, USER
from tests.support.shop import S0, S1, TABLES, Shop, memory_mb
from tests.support.waiting import eventually
from tests.support.wire import LOGIN_FLAGS, ClosedError, Err, packet

LOCAL_FILES = 1 << 7
OK = b"\0\0\0\x02\0\0\0"
EOF = b"\xfe\0\0\x02\0"
MORE_OK = b"\0\0\0\x0a\0\0\0"


def _column(name: bytes, kind: int = 253) -> bytes:
    return b"\x03def\0\0\0" + bytes((len(name),)) + name + b"\0\x0c\x2d\0\xff\0\0\0" + bytes((kind,)) + b"\0\0\0\0\0"


def _packets(*payloads: bytes, start: int = 1) -> bytes:
    return b"".join(packet(payload, start + i) for i, payload in enumerate(payloads))


def _prepared(columns: int, parameters: int) -> bytes:
    return b"\0\x07\0\0\0" + columns.to_bytes(2, "little") + parameters.to_bytes(2, "little") + b"\0\0\0"


def _forever(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


HEADER = _packets(b"\x01", _column(b"uid"), EOF)
# Answers to a statement whose text holds the name.
ANSWERS = {
    "lie-file": [_packets(b"\xfb/etc/passwd")],
    "lie-columns": [_packets(b"\xfd\xff\xff\xff")],
    "lie-column-cut": [_packets(b"\x01", b"\x03def\xff", EOF, b"\x0250", EOF)],
    "lie-column-long": [_packets(b"\x01", b"\x03def\xfe" + b"\xff" * 8, EOF, b"\x0250", EOF)],
    "lie-row-cut": [HEADER + _packets(b"\x0950", EOF, start=4)],
    "lie-row-empty": [HEADER + _packets(b"", EOF, start=4)],
    "lie-eof-cut": [HEADER + _packets(b"\xfe\0", start=4)],
    "lie-ok-cut": [_packets(b"\0\xfe")],
    "lie-err-cut": [_packets(b"\xff\x10")],
    "lie-twice": [_packets(OK, OK)],
    "lie-more-then-nonsense": [_packets(MORE_OK, b"\xfd\xff\xff\xff")],
    "lie-more-then-file": [_packets(MORE_OK, b"\xfb/etc/passwd")],
}
# Answers to LOAD DATA LOCAL.
FILES: dict[str, list[bytes | None]] = {
    "lie-two-files": [_packets(b"\xfbfirst", b"\xfb/etc/passwd")],
    "lie-file-and-end": [_packets(b"\xfbfirst", OK)],
    "lie-file-and-error": [_packets(b"\xfbfirst", b"\xff\x10\x04#HY000no")],
}
PREPARED = {
    "lie-prepare-file": [_packets(b"\xfb/etc/passwd")],
    "lie-prepare-cut": [_packets(b"\0\x07\0\0")],
    "lie-prepare-eof": [_packets(EOF)],
    "lie-prepare-empty": [_packets(b"")],
    "lie-prepare-counts": [_packets(_prepared(0xFFFF, 0xFFFF), *[b"x"] * 3)],
    "lie-prepare-column": [_packets(_prepared(1, 1), _column(b"?"), EOF, b"\x03def\xff", EOF)],
    "lie-prepare-more": [_packets(_prepared(0, 0), OK)],
    "lie-prepare-fewer": [_packets(_prepared(1, 0), _column(b"uid"), EOF)],
}


class Setup:
    """A shop whose first shard lies when it is asked to."""

    def __init__(self, shop: Shop, liar: Liar) -> None:
        self.shop = shop
        self.liar = liar

    def client(self, flags: int = LOGIN_FLAGS) -> BinaryClient:
        """A raw client that waits for ten seconds at most."""
        return BinaryClient(self.shop.proxy.port, 10).login(flags=flags)

    def check_others(self) -> None:
        """Clients of the other shards, and new ones of this one, are served as ever."""
        with self.client() as other:
            for uid in (S0, S1):
                assert other.query(f"SELECT uid FROM users WHERE uid = {uid}".encode()) == [(b"%d" % uid,)]
                assert other.values("SELECT uid FROM users WHERE uid = ?", [integer(uid)]) == [(uid,)]


def _rows_forever() -> Iterator[bytes]:
    yield HEADER
    yield from _forever(packet(b"\xfc\xe8\x03" + b"x" * 1000, 9) * 20)


@pytest.fixture(scope="module")
def running(shards: Shards) -> Iterator[Setup]:
    """A proxy whose first two shards lie, one for reads by key and the other for files."""
    Shop.create_tables(shards)
    lies: dict[bytes, Lie] = {name.encode() + b"'": lie for name, lie in (ANSWERS | PREPARED | FILES).items()}
    lies[b"lie-more-forever'"] = lambda: _forever(_packets(MORE_OK) * 500)
    lies[b"lie-rows-forever'"] = _rows_forever
    with contextlib.ExitStack() as stack:
        urls = dict(shards.urls)
        liars = []
        for shard in ("s0", "s1"):
            server, schema = shards.placement[shard]
            liars.append(stack.enter_context(Liar(server.port, lies)))
            urls[shard] = f"mysql://{USER}:{PASSWORD}@127.0.0.1:{liars[-1].port}/{schema}"
        proxy = ProxyProcess(urls, TABLES)
        proxy.start()
        yield Setup(Shop(shards, proxy), liars[1])
        proxy.kill()


@pytest.fixture
def setup(running: Setup) -> Setup:
    """The same with one user per shard."""
    running.shop.clear()
    running.shop.fill_users()
    return running


def _ends(client: BinaryClient) -> None:
    """Read what still comes: an error or the end of the connection must be among it."""
    try:
        while client.read_packet()[:1] != b"\xff":
            pass
    except ClosedError:
        pass


@pytest.mark.parametrize("lie", ANSWERS)
@pytest.mark.parametrize("where", ["= 50", "> 0 ORDER BY uid"], ids=["one shard", "merged"])
def test_lie_in_an_answer_ends_that_answer_only(setup: Setup, lie: str, where: str) -> None:
    """Whoever asked hears of it, whether the answer is relayed or read; nobody is left waiting."""
    with setup.client() as client:
        client.send_packet(f"\x03SELECT uid FROM users WHERE name <> '{lie}' AND uid {where}".encode())
        if where == "= 50" and lie in ("lie-column-cut", "lie-column-long", "lie-row-cut"):
            # Relayed undecoded: it is the client's to find out.
            while client.read_packet() != EOF or client.sequence < 5:
                pass
        else:
            _ends(client)
    setup.check_others()


@pytest.mark.parametrize("lie", PREPARED)
def test_lie_about_a_prepared_statement(setup: Setup, lie: str) -> None:
    """A statement that a server describes in an impossible way is refused, or works as if it had said nothing."""
    with setup.client() as client:
        made = client.prepare(f"SELECT uid FROM users WHERE name <> '{lie}' AND uid = ?")
        if isinstance(made, Err):
            assert made.errno in (1835, 2013, 1105), made
        else:
            assert lie in ("lie-prepare-fewer", "lie-prepare-more")
            assert len(made.parameters) == 1
    setup.check_others()


@pytest.mark.parametrize("lie", ["lie-more-forever", "lie-rows-forever"])
def test_endless_answer_is_not_hoarded(setup: Setup, lie: str) -> None:
    """What a client does not read stays with the server; the end of the client is the end of it."""
    before = memory_mb(setup.shop.proxy.pid)
    with setup.client() as client:
        client.send_packet(f"\x03SELECT uid FROM users WHERE name <> '{lie}' AND uid = {S0}".encode())
        for _ in range(1000):
            client.read_packet()
        setup.check_others()
        assert memory_mb(setup.shop.proxy.pid) - before < 60
    setup.check_others()
    eventually(lambda: _in_use(setup) == 0)


def _in_use(setup: Setup) -> float:
    text = setup.shop.proxy.http("/metrics")[1]
    return sum(float(line.split()[-1]) for line in text.splitlines() if "pool" in line and 'state="in_use"' in line)


@pytest.mark.parametrize("lie", FILES)
def test_server_that_does_not_wait_for_the_file(setup: Setup, lie: str) -> None:
    """A server asks for one file, and answers when it has it all: who does otherwise gets no other file, and nobody waits."""
    with setup.client(LOGIN_FLAGS | LOCAL_FILES) as client, contextlib.suppress(ClosedError, ConnectionError):
        client.send_packet(f"\x03LOAD DATA LOCAL INFILE '{lie}' INTO TABLE notes".encode())
        if client.read_packet() == b"\xfbfirst":
            for sequence in range(2, 300):
                client.send_packet(b"DELETE FROM notes\n", sequence)
            client.send_packet(b"", 300)
            first = client.read_packet()
            assert first != b"\xfb/etc/passwd", "the client was asked for another file"
    setup.check_others()


@pytest.mark.parametrize("answer", [OK, b"\xff\x10\x04#HY000no"], ids=["success", "error"])
def test_rest_of_a_file_goes_to_nobody_else(setup: Setup, answer: bytes) -> None:
    """Where a server ends LOAD DATA before the file has ended, what the client still sends of it must not be written to a connection
    that serves others by then."""
    setup.liar.followed = b""
    setup.liar.lies[b"lie-early-end'"] = [_packets(b"\xfbfirst"), None, packet(answer, 3)]
    with setup.client(LOGIN_FLAGS | LOCAL_FILES) as client, contextlib.suppress(ClosedError, ConnectionError, TimeoutError):
        client.socket.settimeout(2)
        client.send_packet(b"\x03LOAD DATA LOCAL INFILE 'lie-early-end' INTO TABLE notes")
        assert client.read_packet() == b"\xfbfirst"
        client.send_packet(b"one\n", 2)
        assert client.read_packet()[:1] == answer[:1]
        for sequence in range(3, 600):
            client.send_packet(b"DELETE FROM notes\n", sequence)
        client.send_packet(b"", 600)
        client.command(b"\x0e")
    setup.check_others()
    assert b"DELETE" not in setup.liar.followed
