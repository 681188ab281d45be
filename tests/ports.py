"""Ports for servers that a test starts in another process."""

import random
import socket
from contextlib import suppress

__all__ = ["free_port"]

_BELOW_EPHEMERAL = (12_000, 32_000)
"""Linux gives out 32768 to 60999 by itself (`ip_local_port_range`)."""


def free_port() -> int:
    """Return a loopback port that nobody has.

    The kernel gives it to nobody who asks for any port: a Jupyter kernel that another worker starts
    at this moment would else take it, and answer to requests that are not for it.
    """
    for port in random.sample(range(*_BELOW_EPHEMERAL), 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port was found")
