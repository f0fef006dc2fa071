"""Pipelines and transactions, without asyncio. What both kinds of client share is in `Stack`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from redis.commands import CoreCommands, RedisModuleCommands
from redis.exceptions import RedisError, WatchError

from shardproxy.cache.commands import Spread, look_up
from shardproxy.cache.core import Options, first_error
from shardproxy.cache.errors import AmbiguousResultError, NodeDownError, NotRoutable
from shardproxy.cache.nodes import LOST

if TYPE_CHECKING:
    from shardproxy.cache.client import ShardedRedis
    from shardproxy.cache.routing import Router


class Stack:
    """Commands that wait to be sent, and the node of a transaction.

    A transaction is redis-py's own, on the node of its first key; it is begun when that is known.
    """

    def __init__(self, router: Router, *, transaction: bool) -> None:
        self.router = router
        self.commands: list[tuple[Sequence[Any], Options]] = []
        self.transactional = self._from_the_start = transaction
        self.node = ""
        self._first: Sequence[Any] = ()

    def place(self, args: Sequence[Any]) -> str:
        """The node of the transaction, once this command is part of it. Raises `CrossSlotError`, `NotRoutable`."""
        spread = look_up(args)[0].spread
        if spread in (Spread.ALL, Spread.NAMED, Spread.REFUSED):
            raise NotRoutable(f"{args[0]} does not belong into a transaction, which is on one node: {spread.value}")
        keys = self.router.keys_of(args)
        if not keys:
            if not self.node:
                raise NotRoutable(f"a transaction begins with a command that has a key, not with {args[0]}: it says which node it is for")
            return self.node
        slot = self.router.one_slot(f"a transaction with {args[0]}", [*keys, *self._first])
        if not self.node:
            self.node = self.router.slots.owners[slot]
            self._first = [keys[0]]
        return self.node

    def clear(self) -> None:
        """Nothing waits any more."""
        self.commands = []
        self.transactional = self._from_the_start
        self.node, self._first = "", ()


def watched_no_more(inner: Any) -> None:
    """What was watched on a connection that is lost is watched no more; redis-py would connect again to say so, and wait for that."""
    if inner.connection is not None and not inner.connection.is_connected:
        inner.watching = False


def unanswered(node: str, error: BaseException) -> AmbiguousResultError:
    """What the caller of a transaction gets where its node is lost."""
    return AmbiguousResultError(f"node {node} did not answer EXEC, which it may have carried out: {error}")


class Pipeline(RedisModuleCommands, CoreCommands):
    """As redis-py's `Pipeline`; made by `ShardedRedis.pipeline`. Not to be shared by threads."""

    # What redis-py's commands ask of whoever has them.
    _event_dispatcher: Any = None

    def __init__(self, client: ShardedRedis, *, transaction: bool) -> None:
        self._client = client
        self._stack = Stack(client.router, transaction=transaction)
        self._inner: Any = None
        self.scripts: set[Any] = set()

    # -- queueing -----------------------------------------------------------------------------------------------------

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Queue a command; while keys are watched it is carried out at once."""
        stack = self._stack
        if stack.transactional or self._inner is not None:
            return self._answer(self._begun(args).execute_command(*args, **options))
        stack.commands.append((args, options))
        return self

    def _begun(self, args: Sequence[Any]) -> Any:
        node = self._stack.place(args)
        if self._inner is None:
            self._inner = self._client.nodes[node].pipeline(transaction=True)
            self._inner.scripts = self.scripts
        return self._inner

    def _answer(self, reply: Any) -> Any:
        return self if reply is self._inner else reply

    def watch(self, *names: Any) -> Any:
        """Watch keys of one slot: commands are carried out at once until `multi`."""
        if not self._stack.transactional and self._stack.commands:
            raise RedisError("Cannot issue a WATCH after commands were queued")
        self._stack.transactional = True
        # Any command with these keys says which node that is.
        return self._answer(self._begun(("EXISTS", *names)).watch(*names))

    def unwatch(self) -> Any:
        """Watch nothing any more."""
        return True if self._inner is None else self._inner.unwatch()

    def multi(self) -> None:
        """From now on commands are queued again."""
        if self._inner is None:
            if self._stack.commands:
                raise RedisError("Commands without an initial WATCH have already been issued")
            self._stack.transactional = True
        else:
            self._inner.multi()

    @property
    def command_stack(self) -> list[Any]:
        """What waits to be sent."""
        return self._inner.command_stack if self._inner is not None else self._stack.commands

    # -- carrying out -------------------------------------------------------------------------------------------------

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send what was queued; the replies in the order of the commands. Without `raise_on_error` errors stand among them."""
        try:
            if self._inner is not None:
                return self._execute_transaction(raise_on_error)
            commands = self._stack.commands
            if not commands:
                return []
            replies = self._client.run(self._client.core.pipeline(commands, self.scripts))
            error = first_error(commands, replies) if raise_on_error else None
            if error is not None:
                raise error
            return replies
        finally:
            self.reset()

    def _execute_transaction(self, raise_on_error: bool) -> list[Any]:
        node, inner = self._stack.node, self._inner
        if inner.connection is None:
            try:
                inner.connection = inner.connection_pool.get_connection()
            except LOST as error:
                raise NodeDownError(node, error) from error
        try:
            replies: list[Any] = inner.execute(raise_on_error)
        except LOST as error:
            raise unanswered(node, error) from error
        except WatchError as error:
            # redis-py says so too where the connection is lost, and then nobody knows whether it was carried out.
            if isinstance(error.__context__, LOST):
                raise unanswered(node, error.__context__) from error
            raise
        return replies

    def reset(self) -> None:  # type: ignore[override] # as in redis-py, not the command
        """Forget what was queued and watched."""
        inner, self._inner = self._inner, None
        if inner is not None:
            watched_no_more(inner)
            inner.reset()
        self._stack.clear()
        self.scripts = set()

    def close(self) -> None:
        """As `reset`."""
        self.reset()

    def discard(self) -> None:
        """Forget what was queued."""
        self.reset()

    def register_script(self, script: Any) -> Any:
        """As that of the client."""
        return self._client.register_script(script)

    def get_encoder(self) -> Any:
        """redis-py's encoder."""
        return self._client.get_encoder()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.reset()

    def __len__(self) -> int:
        return len(self.command_stack)

    def __bool__(self) -> bool:
        # As in redis-py: an empty one is not nothing.
        return True
