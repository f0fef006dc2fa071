"""What drivers need to verify the server's certificate."""

import ssl

from compat import SETTINGS


def verifying_context() -> ssl.SSLContext:
    """Trusts the matrix's authority alone, and insists on the address."""
    return ssl.create_default_context(cafile=SETTINGS.ca)
