"""The sharded cache client for asyncio."""

from shardproxy.cache.asyncio.client import Pipeline, ShardedRedis

__all__ = ["Pipeline", "ShardedRedis"]
