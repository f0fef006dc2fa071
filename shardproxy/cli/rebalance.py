"""`shardctl rebalance` and `shardctl move …`: show what would move, move it, and show how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import sys
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, cast

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from migrate.board import LEASE_S, REPORT
from migrate.cluster import Cluster, opened
from migrate.errors import MoveError, MoveRefused, Replaced
from migrate.job import Job
from migrate.planning import USUAL_PAUSE_MS, By, Proposal, joining, overlapping, propose, unfinished
from migrate.runner import Runner, can_be_reversed
from shardproxy.cli.main import EXIT_BUSY, EXIT_DONE, EXIT_FAILED, EXIT_REFUSED
from shardproxy.cli.printing import count_of, plain_table, stdout_console
from shardproxy.config.loader import LoadedConfig
from shardproxy.errors import ProxyError, ServerError
from shardproxy.store.records import StoredTopology
from shardproxy.topology.moves import Move
from shardproxy.topology.moves import MoveState as S

_TICK_S = 0.5
_LINE_S = 5.0


async def guarded(work: Coroutine[Any, Any, int]) -> int:
    """Run a command that moves things; says what went wrong, and gives the exit code that belongs to it."""
    try:
        return await work
    except MoveRefused as refused:
        for reason in refused.reasons:
            print(f"shardctl: refused: {reason}", file=sys.stderr)
        return EXIT_REFUSED
    except Replaced as replaced:
        print(f"shardctl: {replaced}", file=sys.stderr)
        return EXIT_BUSY
    except (MoveError, ProxyError, ServerError) as error:
        print(f"shardctl: {error}", file=sys.stderr)
        return EXIT_FAILED


async def rebalance(
    loaded: LoadedConfig, *, by: str, execute: bool, max_moves: int | None, knobs: dict[str, float], hold: bool, as_json: bool
) -> int:
    """Show the moves that give every shard its part, or carry them out."""
    async with opened(loaded) as cluster:
        stored = cluster.open()
        if not execute:
            proposal = await propose(cluster, stored, cast(By, by))
            _show_proposal(proposal, stored, as_json=as_json)
            return EXIT_REFUSED if proposal.faults else EXIT_DONE
        runner = Runner(cluster, _say)

        async def work() -> bool:
            if knobs:
                await cluster.board.change(lambda doc: replace(doc, knobs={**doc.knobs, **knobs}))
            return await runner.rebalance(cast(By, by), max_moves, until_ready=hold)

        return await _act(runner, work(), as_json=as_json)


async def move(loaded: LoadedConfig, action: str, number: int, *, execute: bool, as_json: bool) -> int:
    """Pause, resume, cancel, reverse or clean up one move."""
    async with opened(loaded) as cluster:
        stored = cluster.open()
        found = stored.move(number)
        if found is None:
            raise MoveRefused([f"there is no move {number}"])
        if action in ("pause", "resume", "cancel"):
            return await _wish(cluster, found, action, as_json=as_json)
        if found.joins or found.state not in (S.SWITCHED, S.CLEANUP):
            raise MoveRefused([f"move {number} is {found.state.value}: only a switched one can be {_PAST[action]}"])
        if action == "reverse" and not can_be_reversed(stored, found):
            raise MoveRefused([f"{found.target} does not own all of what move {number} brought there: later moves have taken it on"])
        if not execute:
            what = f"delete {_shown(found)} from {found.source}, which does not own it any more; then there is no way back"
            if action == "reverse":
                what = f"bring {_shown(found)} back from {found.target} to {found.source}"
            print(f"would {what}\nadd --execute to do it")
            return EXIT_DONE
        runner = Runner(cluster, _say)
        work = runner.clean_up([number]) if action == "cleanup" else runner.reverse(number)
        return await _act(runner, work, as_json=as_json)


_PAST = {"cleanup": "cleaned up", "reverse": "reversed"}


async def _wish(cluster: Cluster, found: Move, action: str, *, as_json: bool) -> int:
    """Write what an operator wants; the mover that acts heeds it. Without one a cancelled move is given up here."""
    if found.state.decided or found.state.over:
        raise MoveRefused([f"move {found.id} is {found.state.value} already"])
    wanted = {"pause": "pause", "resume": "", "cancel": "cancel"}[action]
    while True:
        stored = cluster.open()
        known = stored.move(found.id)
        if known is None or known.state.decided:
            raise MoveRefused([f"move {found.id} has been switched meanwhile"])
        changed = replace(stored.with_move(replace(known, wanted=wanted)), epoch=stored.epoch + 1)
        if await asyncio.to_thread(cluster.store.compare_and_set, stored.epoch, changed):
            break
    if action != "cancel":
        print(f"move {found.id}: {action}d")
        return EXIT_DONE
    runner = Runner(cluster, _say)
    code = await _act(runner, runner.finish_only(found.id), as_json=as_json, failed=EXIT_DONE)
    if code == EXIT_BUSY:
        print(f"move {found.id}: the mover that acts gives it up")
        return EXIT_DONE
    return code


async def show_moves(loaded: LoadedConfig, *, as_json: bool) -> int:
    """All moves that are known, the newest last."""
    async with opened(loaded) as cluster:
        stored = cluster.open()
        mover = await cluster.board.progress(REPORT)
        rows = [move_row(one, await cluster.board.progress(one.id)) for one in stored.moves]
    if as_json:
        print(json.dumps(rows, indent=2))
        return EXIT_DONE
    table = plain_table("id", "state", "since", "from", "to", "what", "rows copied", "lag ms", "note")
    for row in rows:
        copied = f"{row['rows_copied']} of ~{row['rows_total']}"
        cells = [str(row[key]) for key in ("id", "state", "since", "from", "to", "what")]
        table.add_row(*cells, copied, str(row["lag_ms"]), row["note"])
    console = stdout_console()
    console.print(table if rows else "no moves yet")
    acts = time.time() - float(mover.get("at", 0)) < LEASE_S
    if acts:
        console.print(f"\na mover acts: {mover['holder']}")
    elif [row for row in rows if row["state"] not in ("switched", "done", "aborted")]:
        console.print("\nno mover acts: `shardctl rebalance --execute` goes on")
    return EXIT_DONE


def move_row(found: Move, progress: dict[str, Any]) -> dict[str, Any]:
    """A move as `moves --json` prints it."""
    note = found.reason or progress.get("throttled", "")
    if found.wanted:
        note = f"{found.wanted} asked for" + (f"; {note}" if note else "")
    return {
        "id": found.id,
        "state": found.state.value,
        "since": _clock(progress.get("entered_at", 0.0)),
        "group": found.group,
        "from": found.source,
        "to": found.target,
        "partitions": found.share.size,
        "what": _shown(found),
        "rows_total": progress.get("rows_total", 0),
        "rows_copied": progress.get("rows_copied", 0),
        "bytes_copied": progress.get("bytes_copied", 0),
        "rows_applied": progress.get("rows_applied", 0),
        "rows_per_s": round(progress.get("rate", 0)),
        "lag_ms": progress.get("lag_ms", 0),
        "pause_ms": progress.get("pause_ms", 0),
        "attempts": progress.get("attempts", 0),
        "wanted": found.wanted,
        "note": note,
    }


def _shown(found: Move) -> str:
    if found.joins:
        return "reference tables"
    if found.share.buckets:
        return f"{count_of(len(found.share.buckets), 'bucket')} of {found.group}"
    ranges = ", ".join(f"[{'…' if low is None else low}, {'…' if high is None else high})" for low, high in found.share.intervals)
    return f"{found.group}: {ranges}"


def _show_proposal(proposal: Proposal, stored: StoredTopology, *, as_json: bool) -> None:
    moved = round(sum(one.size.rows for one in proposal.moves))
    total = round(proposal.total.rows)
    rows: list[dict[str, Any]] = [
        {
            "id": one.move.id,
            "group": one.move.group,
            "from": one.move.source,
            "to": one.move.target,
            "partitions": one.move.share.size,
            "rows": round(one.size.rows),
            "bytes": round(one.size.octets),
            "seconds": round(one.seconds),
            "pause_ms": USUAL_PAUSE_MS,
        }
        for one in proposal.moves
    ]
    groups = {
        group: {
            "moved": cost,
            "optimum": proposal.plan.optimum[group],
            "total": proposal.plan.total[group],
            "peak": proposal.plan.peak[group],
        }
        for group, cost in proposal.plan.moved.items()
    }
    joins = [one.target for one in joining(stored)]
    first = unfinished(stored)
    cleaned = overlapping(stored, [one.move for one in proposal.moves])
    if as_json:
        whole = {
            "epoch": proposal.epoch,
            "moves": rows,
            "moved_rows": moved,
            "total_rows": total,
            "moved_bytes": round(sum(one.size.octets for one in proposal.moves)),
            "groups": groups,
            "joins": joins,
            "unfinished": [one.id for one in first],
            "cleans_up": [one.id for one in cleaned],
            "faults": list(proposal.faults),
            "notes": list(proposal.notes),
        }
        print(json.dumps(whole, indent=2))
        return
    console = stdout_console()
    for one in first:
        console.print(f"goes on with move {one.id}, which is {one.state.value}: {_shown(one)}, {one.source} -> {one.target}")
    for one in cleaned:
        console.print(f"cleans up move {one.id} ({one.source} -> {one.target}) first, which then cannot be reversed")
    for name in joins:
        console.print(f"shard {name} becomes a member first: it gets the tables, and the rows of the reference tables")
    if not rows:
        console.print("nothing else to move" if first else "nothing to move")
    else:
        table = plain_table("id", "group", "from", "to", "partitions", "rows", "bytes", "about", "pause")
        for row in rows:
            cells = [str(row[key]) for key in ("id", "group", "from", "to", "partitions", "rows", "bytes")]
            table.add_row(*cells, f"{row['seconds']} s", f"{row['pause_ms']} ms")
        console.print(table)
        console.print(f"\n{moved} of {total} rows move" + (f" ({moved / total:.1%})" if total else ""))
        for group, found in groups.items():
            console.print(
                f"group {group}: moves {found['moved']:g} where {found['optimum']:g} is the least;"
                f" the busiest shard then has {found['peak']:.3f} of its part"
            )
    for note in proposal.notes:
        console.print(f"note: {note}")
    for fault in proposal.faults:
        console.print(f"refused: {fault}")
    if (rows or first or joins) and not proposal.faults:
        console.print("\nadd --execute to do it")


def _say(text: str) -> None:
    print(f"{dt.datetime.now().astimezone():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def _clock(at: float) -> str:
    """A time in seconds since 1970, as people here read it."""
    return f"{dt.datetime.fromtimestamp(at, dt.UTC).astimezone():%Y-%m-%d %H:%M:%S}" if at else ""


async def _act(runner: Runner, work: Coroutine[None, None, bool], *, as_json: bool, failed: int = EXIT_FAILED) -> int:
    shower = asyncio.ensure_future(_show_jobs(runner.jobs))
    try:
        done = await runner.acting(work)
    finally:
        shower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await shower
    if done is None:
        print("shardctl: another mover acts; `shardctl moves` shows what it does", file=sys.stderr)
        return EXIT_BUSY
    if as_json:
        print(json.dumps([move_row(job.move, job.progress.plain()) for job in runner.jobs.values()], indent=2))
    return EXIT_DONE if done else failed


async def _show_jobs(jobs: dict[int, Job]) -> None:
    """Bars on a terminal, lines elsewhere."""
    if sys.stderr.isatty():
        await _show_bars(jobs)
        return
    told: dict[int, tuple[str, float]] = {}
    while True:
        await asyncio.sleep(_TICK_S)
        for number, job in list(jobs.items()):
            state, at = told.get(number, ("", 0.0))
            # Its end is told by the run itself.
            ended = job.move.state.over or job.move.state is S.SWITCHED
            if not ended and (job.move.state.value != state or time.monotonic() - at > _LINE_S):
                told[number] = (job.move.state.value, time.monotonic())
                _say(f"move {number}: {job.move.state.value}: {_line(job)}")


def _line(job: Job) -> str:
    progress = job.progress
    words = [f"{progress.rows_copied} of about {progress.rows_total} rows"] if progress.rows_total else []
    if progress.rate and job.move.state is S.COPYING:
        left = max(0, progress.rows_total - progress.rows_copied) / progress.rate
        words.append(f"{progress.rate:.0f} rows/s, {left:.0f} s left")
    if progress.rows_applied:
        words.append(f"{progress.rows_applied} changes brought, {progress.lag_ms} ms behind")
    words += [text for text in (job.throttle.reason, job.move.reason) if text]
    return "; ".join(words)


async def _show_bars(jobs: dict[int, Job]) -> None:
    from rich.console import Console

    text = TextColumn("{task.description}")
    with Progress(text, BarColumn(), TextColumn("{task.fields[line]}"), console=Console(stderr=True)) as bars:
        tasks: dict[int, TaskID] = {}
        while True:
            for number, job in list(jobs.items()):
                if number not in tasks:
                    tasks[number] = bars.add_task("", total=1, line="")
                total = max(1, job.progress.rows_total)
                description = f"move {number} {job.move.source} → {job.move.target} {job.move.state.value}"
                done = total if job.move.state.decided else min(total, job.progress.rows_copied)
                bars.update(tasks[number], description=description, total=total, completed=done, line=_line(job))
            await asyncio.sleep(_TICK_S / 2)
