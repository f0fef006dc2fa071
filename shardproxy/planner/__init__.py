"""From a statement's shape to an immutable plan: where it may run, what each shard gets, how the answers are merged."""
