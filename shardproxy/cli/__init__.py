"""The programs `shardproxy` and `shardctl`."""
