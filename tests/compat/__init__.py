"""The compatibility matrix: what drivers and ORMs of many languages do on one server, and through the proxy."""
