"""Moving rows between shards while they are in use. `docs/rebalancing.md` is for operators; `mover` is where to begin reading."""
