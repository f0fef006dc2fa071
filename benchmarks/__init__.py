"""Benchmarks of the proxy beside its peers: `python -m benchmarks` (see README.md)."""
