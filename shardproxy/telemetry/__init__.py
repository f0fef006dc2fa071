"""Counting and timing what happens, cheaply enough to be always on."""
