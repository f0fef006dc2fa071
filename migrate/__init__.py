"""Moves of partitions between shards: the engine behind `shardctl rebalance`.

It imports rows 0, 1 and 5 of the layers only (docs/life-of-a-query.md), and `shardproxy` never imports it, but for the
`shardctl` entry point.
"""
