"""One client's session: its commands, its variables, its transaction. No sockets; bytes go through a `Channel`."""
