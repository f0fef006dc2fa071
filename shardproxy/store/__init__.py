"""Where the topology is kept, so that a change of the file never moves rows behind their owners' backs."""
