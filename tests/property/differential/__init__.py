"""Sharded against unsharded: generated statements run through the proxy and on one MariaDB, and every answer is compared."""
