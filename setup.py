"""The hot modules, compiled by mypyc where that is asked for: `SHARDPROXY_COMPILE=1 python setup.py build_ext --inplace`.

Everything else of the package is in pyproject.toml. The compiled and the plain form are the same source and behave the same.
"""

import os

from setuptools import setup

HOT = [
    "shardproxy/protocol/wire_types.py",
    "shardproxy/protocol/framing.py",
    "shardproxy/protocol/packets.py",
    "shardproxy/protocol/resultset.py",
    "shardproxy/protocol/result_reader.py",
    "shardproxy/protocol/scanner.py",
    "shardproxy/merge/keys.py",
    "shardproxy/merge/ordered.py",
    "shardproxy/merge/grouping.py",
    "shardproxy/merge/merger.py",
    "shardproxy/telemetry/counters.py",
    "shardproxy/sql/fingerprint.py",
    "shardproxy/planner/cache.py",
    "shardproxy/session/channel.py",
    "shardproxy/session/short.py",
    "shardproxy/session/prepared.py",
    "shardproxy/executor/prepared.py",
    "shardproxy/protocol/binary.py",
    "shardproxy/protocol/prepare.py",
    "shardproxy/sql/parameters.py",
    "shardproxy/backends/statements.py",
    "shardproxy/executor/gather.py",
    "shardproxy/executor/scatter.py",
    "shardproxy/executor/leases.py",
    "shardproxy/executor/outcome.py",
    "shardproxy/executor/relay.py",
    "shardproxy/routing/resolve.py",
    "shardproxy/routing/render.py",
]

extensions = []
if os.environ.get("SHARDPROXY_COMPILE"):
    from mypyc.build import mypycify

    extensions = mypycify(HOT, group_name="shardproxy.hot")

setup(ext_modules=extensions)
