"""Free ports on loopback, for programs that cannot take port 0 because others must know it beforehand."""

import os
import random
import socket

# Below the ports that the kernel hands out itself (from 32768 on Linux): between this probe and the program's start
# no connection of another test can be given the port.
_FIRST, _LAST = 10_000, 32_000
# Each worker of a test run has ports of its own.
_WORKERS = 32
_SHARE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
# Two runs on one machine must not walk through the same ports side by side.
_candidates = random.SystemRandom().sample(
    range(_FIRST + _SHARE, _LAST, _WORKERS), k=(_LAST - _FIRST) // _WORKERS - 1
)


def free() -> int:
    """A port that nobody listens on and that this process has not given away before.

    A second test run may take it before it is used: then the program ends at once, and says so in its log.

    Raises:
        RuntimeError: this process has given away every port of its share.
    """
    while _candidates:
        port = _candidates.pop()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    msg = f"no port between {_FIRST} and {_LAST} is free for worker {_SHARE}"
    raise RuntimeError(msg)
