"""The checkers find what they are there for: each bug, put in on purpose, is found; without it the same is found to be well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pymysql
import pytest

from shardproxy.topology.hashing import bucket_of
from tests.moves.audit import Audit
from tests.moves.cluster import Cluster, Mover
from tests.moves.faults import BUSY, Case, Run, moving_customer
from tests.moves.ledger import CUSTOMERS, DONE, Ledger
from tests.support.servers import DatabaseServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

Servers = dict[str, DatabaseServer]
MOVE = ("rebalance", "--execute", "--max-moves", "1")
CODES = '[tables.codes]\nby = "hash"\nkey = "customer"\ngroup = "shop"\nlocal_unique = ["code"]\n'


@contextmanager
def prepared(servers: Servers, *, proxy: str = "", clients: int = 1, direct: bool = False, more_tables: str = "") -> Iterator[Run]:
    """Two shards with a few rows, and a third that has joined."""
    with ExitStack() as stack:
        cluster = stack.enter_context(
            Cluster(2, ranged=False, servers={f"s{i}": servers[f"s{i}"] for i in range(3)}, more_tables=more_tables)
        )
        if proxy:
            cluster.proxy_commands[1] = ["tests.moves.sabotage", proxy]
        if more_tables:
            cluster.more_columns["codes"] = (
                "customer BIGINT PRIMARY KEY, op BIGINT NOT NULL, code VARCHAR(20) NOT NULL, UNIQUE KEY code (code)"
            )
        cluster.start()
        ledger = Ledger(cluster, clients=clients, direct=direct)
        ledger.fill(300)
        cluster.add_spare()
        cluster.ctl("rebalance", "--execute", "--max-moves", "0")
        yield Run(Case("", lambda run: None), cluster, ledger, {}, None)


def started(run: Run, bug: str, *arguments: str) -> Mover:
    """A mover with a bug, or an honest one."""
    module = ("tests.moves.sabotage", bug) if bug else ("shardproxy.cli.ctl",)
    return run.cluster.mover(*(arguments or MOVE), module=module)


def faults(run: Run) -> list[str]:
    """What the audit says; leftovers are not looked for, as nothing was cleaned up."""
    return Audit(run.cluster, run.ledger).rows_are_right(misplaced=False).faults


def expect(found: list[str], bug: str, *kinds: str) -> None:
    """With the bug at least one of these, without it nothing at all."""
    if not bug:
        assert not found, found
    else:
        assert any(fault.startswith(kinds) for fault in found), found


def insert(run: Run, execute: Callable[[str], object], customer: int) -> None:
    """An acknowledged row of items."""
    write = run.ledger.new_write("items", customer)
    execute(f"INSERT INTO items (customer, op, n, text) VALUES ({customer}, {write.op}, 0, 'item {write.op}/0')")
    write.outcome = DONE


def customers(run: Run) -> set[int]:
    """Those of the ledger whom the newest move takes along."""
    buckets = run.current.share.buckets
    return {key for key in range(CUSTOMERS) if bucket_of(b"%d" % key) in buckets}


def test_an_honest_move_of_rows_that_change_is_found_to_be_well(move_servers: Servers) -> None:
    with prepared(move_servers, direct=True) as run:
        with run.ledger:
            assert started(run, "").wait() == 0
        assert faults(run) == []


def test_a_position_read_before_the_source_was_closed_is_found(move_servers: Servers) -> None:
    with prepared(move_servers) as run:
        mover = started(run, "position_read_early")
        assert mover.says("the position has been read")
        insert(run, lambda sql: run.server("source").execute(sql, "app"), moving_customer(run))
        assert mover.wait() == 0
        expect(faults(run), "position_read_early", "lost")


def test_rows_that_are_counted_twice_are_found(move_servers: Servers) -> None:
    bug = "no_ownership_filter"
    with prepared(move_servers, proxy=bug, clients=2) as run:
        # The source has the rows still, and does not own them.
        run.cluster.ctl(*MOVE)
        with run.ledger:
            run.ledger.run_for(2)
        expect(faults(run), bug, "seen by clients: ")
        assert all("SELECT " in text or "a write of all" in text for text in run.ledger.wrong)


def test_a_mover_that_comes_too_late_does_no_harm(move_servers: Servers) -> None:
    assert too_late(move_servers, "stopped_before_writing") == []


def test_a_mover_that_comes_too_late_and_writes_all_the_same_is_found(move_servers: Servers) -> None:
    """What it has read may be what stands there still; hardly ever three times."""
    found = too_late(move_servers, "no_token") or too_late(move_servers, "no_token") or too_late(move_servers, "no_token")
    expect(found, "no_token", "seen by clients", "registers")


def too_late(move_servers: Servers, bug: str) -> list[str]:
    """A mover is stopped with rows that it has read, and goes on when another one has done its work; the faults that are found."""
    with prepared(move_servers) as run:
        with run.ledger:
            mover = started(run, bug)
            assert mover.says("stopped")
            moved = customers(run)
            run.ledger.hot = {register.key for register in run.ledger.registers if register.key in moved}
            run.ledger.run_for(6.5)
            run.complete()
            run.ledger.run_for(0.3)
            mover.resume()
            code = mover.wait_or_kill(5)
            run.ledger.run_for(0.3)
        assert bug == "no_token" or code == BUSY, mover.said()
        return faults(run)


def test_an_owner_that_changes_when_all_proxies_hold_does_no_harm(move_servers: Servers) -> None:
    assert while_a_proxy_is_slow(move_servers, "") == []


def test_an_owner_that_changes_before_all_proxies_hold_is_found(move_servers: Servers) -> None:
    """A client has to write and read just then; three times there is hardly ever none."""
    bug = "opened_before_holds"
    expect(while_a_proxy_is_slow(move_servers, bug) or while_a_proxy_is_slow(move_servers, bug) or while_a_proxy_is_slow(move_servers, bug),
           bug, "seen by clients: ")  # fmt: skip


def while_a_proxy_is_slow(move_servers: Servers, bug: str) -> list[str]:
    """A share changes its owner while one proxy hears of everything late; the faults that are found."""
    with prepared(move_servers, proxy="slow_to_follow") as run:
        run.cluster.ctl(*MOVE, "--hold")
        moved = customers(run)
        run.ledger.hot = set([register.key for register in run.ledger.registers if register.key in moved][:2])
        with run.ledger:
            run.ledger.run_for(0.5)
            assert started(run, bug).wait() == 0
            run.ledger.run_for(0.5)
        found = faults(run)
        if bug and found:
            assert any("acknowledged was" in text for text in run.ledger.wrong)
        return found


@pytest.mark.parametrize("bug", ["", "replacing"])
def test_rows_that_push_others_away_are_found(move_servers: Servers, bug: str) -> None:
    with prepared(move_servers, more_tables=CODES) as run:
        cluster = run.cluster
        # A value that is unique on each shard; both of its rows are to come to the third one.
        for source in ("s0", "s1"):
            mover = cluster.mover(*MOVE, "--hold")
            assert mover.wait() == 0
            assert run.current.source == source
            customer = moving_customer(run)
            write = run.ledger.new_write("codes", customer)
            cluster.proxies[0].execute(f"INSERT INTO codes (customer, op, code) VALUES ({customer}, {write.op}, 'same')")
            write.outcome = DONE
            code = started(run, bug, "rebalance", "--execute", "--max-moves", "0").wait()
            if bug or source == "s0":
                assert code == 0
        if not bug:
            # An honest move is given up, and everything stays as it was.
            assert code == 1 and run.current.state.value == "aborted"
        expect(faults(run), bug, "lost")


def test_a_prepared_transaction_that_was_not_waited_for_is_found(move_servers: Servers) -> None:
    with prepared(move_servers) as run:
        run.cluster.ctl(*MOVE, "--hold")
        customer, source = moving_customer(run), run.server("source")
        write = run.ledger.new_write("items", customer)
        with source.connect("app") as connection, connection.cursor() as cursor:
            insert_row = f"INSERT INTO items (customer, op, n, text) VALUES ({customer}, {write.op}, 0, 'item {write.op}/0')"
            for sql in ("XA START 'x'", insert_row, "XA END 'x'", "XA PREPARE 'x'"):
                cursor.execute(sql)
        assert started(run, "no_wait_for_prepared").wait() == 0
        source.execute("XA COMMIT 'x'")
        write.outcome = DONE
        expect(faults(run), "no_wait_for_prepared", "lost")


@pytest.mark.parametrize("bug", ["", "no_guards"])
def test_writers_past_the_proxies_that_nothing_refuses_are_found(move_servers: Servers, bug: str) -> None:
    with prepared(move_servers) as run:
        assert started(run, bug).wait() == 0
        source, customer = run.server("source"), moving_customer(run)
        if bug:
            insert(run, lambda sql: source.execute(sql, "app"), customer)
        else:
            with pytest.raises(pymysql.err.OperationalError, match="SP1412"):
                insert(run, lambda sql: source.execute(sql, "app"), customer)
        expect([fault for fault in faults(run) if "unknown" not in fault], bug, "lost")
