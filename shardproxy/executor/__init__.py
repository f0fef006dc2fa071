"""Carrying out plans: connections, transactions, relaying, merging. I/O only through `backends`."""
