"""Sockets: the listener, a client's connection, login and TLS."""
