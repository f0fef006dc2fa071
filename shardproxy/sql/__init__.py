"""SQL text: fingerprints, tokens, parsing and the facts that planning needs. Nothing here knows shards or sockets."""
