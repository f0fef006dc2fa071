"""The ownership filter in plans: when there is one, and what becomes of a statement that can have none."""

from dataclasses import replace

import pytest

from shardproxy.errors import STRAY_ROWS, ProxyError
from shardproxy.planner.build import build_plan
from shardproxy.planner.context import PlanContext
from shardproxy.planner.ownership import own_rows_of_write
from shardproxy.planner.plan import Plan
from shardproxy.planner.scopes import Scopes
from shardproxy.planner.template import OwnershipFilter, SessionValue
from shardproxy.routing.render import render
from shardproxy.sql.fingerprint import fingerprint
from shardproxy.sql.statement import Statement
from shardproxy.topology.keys import IntegerKey, StringKey
from shardproxy.topology.share import Share
from tests.plans.cases import planner_of

STILL = planner_of("").context
MOVING = planner_of("moving.sql").context


def parsed(sql: str) -> Statement:
    """As the session gives it to the planner."""
    return Statement(*fingerprint(sql.encode()))


def plan(sql: str, context: PlanContext) -> Plan:
    """The plan of a statement that has one."""
    found = build_plan(parsed(sql), context)
    assert isinstance(found, Plan)
    return found


def filters(found: Plan) -> list[OwnershipFilter]:
    """What in a plan is for some shards only."""
    return [piece for piece in (*(found.template or ()), *(found.scatter or ())) if isinstance(piece, OwnershipFilter)]


def answer(value: SessionValue) -> bytes:
    """No statement here asks for anything of the session's."""
    raise AssertionError(value)


@pytest.mark.parametrize("sql", ["SELECT name FROM users WHERE age = 1", "UPDATE users SET age = 1", "DELETE FROM users WHERE age = 1"])
def test_plans_have_no_filter_while_nothing_moves(sql: str) -> None:
    """And the text of a write goes to the shards as it came."""
    assert not filters(plan(sql, STILL))
    assert len(filters(plan(sql, MOVING))) == 1 + ("WHERE" in sql)
    assert plan("UPDATE users SET age = 1", STILL).scatter is None
    # Another group's rows are on their way.
    assert not filters(plan("SELECT page FROM visits", MOVING))
    assert plan("DELETE FROM visits", MOVING).scatter is None


def test_a_plan_for_one_literal_is_the_same_while_rows_move() -> None:
    """It goes straight to the shard that owns the row, text and all."""
    for sql in ("SELECT name FROM users WHERE uid = 7", "UPDATE users SET age = 1 WHERE uid = 7"):
        found = plan(sql, MOVING)
        assert found.point is not None
        assert found.template is None


def test_only_shards_with_strays_get_the_condition() -> None:
    """A piece is nothing on all others."""
    found = plan("DELETE FROM users WHERE age = 1 OR age = 2", MOVING)
    assert found.scatter is not None
    literals = [b"1", b"2"]
    assert render(found.scatter, literals, answer, "s1") == b"DELETE FROM users WHERE age = 1 OR age = 2"
    assert render(found.scatter, literals, answer, "s0") == (
        b"DELETE FROM users WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))"
    )


def test_texts_are_made_once_for_a_topology() -> None:
    """Plans share them, whatever name a table has in its statement; the next topology has its own."""
    key_type = IntegerKey(-(1 << 63), (1 << 63) - 1)
    first = MOVING.strays.of("default", key_type)
    assert MOVING.strays.of("default", key_type) is first
    for sql in ("SELECT total FROM orders", "SELECT o.total FROM orders o", "DELETE FROM tickets"):
        [closing] = filters(plan(sql, MOVING))
        assert closing.texts["s1"][-1] is first["s1"][-1]
    assert MOVING.strays.of("default", StringKey(True, 4, "utf-8"))["s1"] != first["s1"]
    assert MOVING.strays.of("visits", key_type) == {}
    topology = replace(MOVING.topology, strays={"default": {"s2": Share(frozenset((1,))), "s3": Share()}})
    assert list(replace(MOVING, topology=topology).strays.of("default", key_type)) == ["s2"]


def test_a_statement_of_which_every_table_is_optional_is_refused() -> None:
    """There would be no row of the result whose key tells where it belongs."""
    statement = parsed("UPDATE users SET age = 1")
    scopes = Scopes(statement, MOVING, selected=True)
    scopes.visit(statement.tree)
    assert own_rows_of_write(statement, scopes, []) is not None
    scopes.instances[0].nullable = True
    with pytest.raises(ProxyError) as caught:
        own_rows_of_write(statement, scopes, [])
    assert caught.value.spec is STRAY_ROWS
    assert (STRAY_ROWS.errno, STRAY_ROWS.sqlstate) == (1205, "HY000")


def test_a_share_that_the_key_cannot_tell_is_refused_on_several_shards_only() -> None:
    """What names its key goes to its shard as ever."""
    refused = plan("SELECT COUNT(*) FROM events", MOVING)
    assert refused.refusal is not None
    assert refused.refusal.spec is STRAY_ROWS
    assert plan("SELECT COUNT(*) FROM events", STILL).refusal is None
    assert plan("DELETE FROM events WHERE day = '2024-01-01'", MOVING).route.point is not None
