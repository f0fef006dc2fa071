"""What tests stand on: real servers, the proxy as a process, a relay for faults, waiting without sleeping."""
