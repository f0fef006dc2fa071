"""Other people's test suites as a conformance check: each runs against a server directly, then through the proxy.

Only the difference counts: a test that fails directly says something about the machine or about the test. The suites are
downloaded into a cache and never kept here. `python -m tests.suites --help` says how to run them.
"""
