"""Free ports on loopback, for programs that cannot take port 0 because others must know it beforehand."""

import socket

_given: set[int] = set()


def free() -> int:
    """A port that nobody listens on and that this process has not given away before.

    Somebody else may take it before it is used: then the program ends at once, and says so in its log.
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port
