"""Several processes on one port: connections spread, numbers tell whose they are, one that dies is started again."""

import contextlib
import os
import signal
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from tests.conftest import Shards
from tests.support.shop import Shop, open_shop, run
from tests.support.waiting import eventually

WORKERS = 2


@pytest.fixture(scope="module")
def running_shop(shards: Shards) -> Iterator[Shop]:
    """A proxy of two processes."""
    yield from open_shop(shards, settings={"workers": WORKERS})


def one_of_each(shop: Shop, stack: contextlib.ExitStack) -> dict[int, pymysql.Connection]:
    """A connection to each process, by what is left of its number."""
    found: dict[int, pymysql.Connection] = {}
    for _ in range(64):
        connection = stack.enter_context(shop.connect())
        found.setdefault(connection.thread_id() % WORKERS, connection)
        if len(found) == WORKERS:
            return found
    raise AssertionError("64 connections went to one process")


def test_statement_of_another_process_is_killed(running_shop: Shop) -> None:
    """By its number alone."""
    told: list[pymysql.err.Error] = []
    with contextlib.ExitStack() as stack:
        first, second = one_of_each(running_shop, stack).values()
        started = threading.Event()

        def sleep() -> None:
            started.set()
            try:
                run(first, "SELECT SLEEP(30)")
            except pymysql.err.Error as error:
                told.append(error)

        thread = threading.Thread(target=sleep)
        thread.start()
        started.wait(5)

        def killed() -> bool:
            run(second, f"KILL QUERY {first.thread_id()}")
            thread.join(0.2)
            return not thread.is_alive()

        eventually(killed)
    # MariaDB says that it was interrupted; MySQL ends SLEEP with 1.
    assert [error.args[0] for error in told] in ([1317], [])


def test_connection_of_another_process_is_killed_and_unknown_numbers_are_refused(running_shop: Shop) -> None:
    """With the errors that a server gives."""
    with contextlib.ExitStack() as stack:
        first, second = one_of_each(running_shop, stack).values()
        run(second, f"KILL {first.thread_id()}")
        with pytest.raises(pymysql.err.OperationalError):
            run(first, "SELECT 1")
        for number in (4_000_000_001, 4_000_000_002):
            with pytest.raises(pymysql.err.OperationalError, match="Unknown thread id"):
                run(second, f"KILL {number}")


def test_each_process_has_its_admin_port(running_shop: Shop) -> None:
    """One above the other."""
    for number in range(WORKERS):
        with urllib.request.urlopen(f"http://127.0.0.1:{running_shop.proxy.admin_port + number}/readyz", timeout=5) as answer:
            assert answer.read() == b"ready\n"


def children_of(pid: int) -> list[int]:
    """The processes that this one has started."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_process_that_dies_is_started_again(running_shop: Shop) -> None:
    """And its clients connect anew."""
    parent = running_shop.proxy.pid
    victim = children_of(parent)[0]
    os.kill(victim, signal.SIGKILL)

    def both_serve() -> bool:
        with contextlib.ExitStack() as stack:
            return victim not in children_of(parent) and len(one_of_each(running_shop, stack)) == WORKERS

    eventually(both_serve, timeout_s=30)


def test_nobody_outlives_a_parent_that_was_killed(shards: Shards, start_proxy) -> None:  # type: ignore[no-untyped-def]
    """Or the port would stay taken."""
    proxy = start_proxy(shards.urls, settings={"workers": WORKERS})
    children = children_of(proxy.pid)
    assert len(children) == WORKERS
    proxy.kill()
    eventually(lambda: not any(Path(f"/proc/{child}/cmdline").exists() for child in children), timeout_s=20)
