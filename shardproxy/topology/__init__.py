"""Where rows live: sharding keys, partition maps, and the snapshot that ties them to shards. Pure functions over frozen data."""
