"""Plain Redis servers as one: a client with redis-py's methods that knows which server has which key.

`from shardproxy.cache import ShardedRedis`, or from `shardproxy.cache.asyncio`.
"""

from shardproxy.cache.client import ShardedRedis
from shardproxy.cache.errors import AmbiguousResultError, CrossSlotError, NodeDownError, NotRoutable
from shardproxy.cache.pipeline import Pipeline
from shardproxy.cache.pubsub import PubSub

__all__ = ["AmbiguousResultError", "CrossSlotError", "NodeDownError", "NotRoutable", "Pipeline", "PubSub", "ShardedRedis"]
