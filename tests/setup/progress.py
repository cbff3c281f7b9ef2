"""Says what is being waited for, and for how long already."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator


@contextlib.contextmanager
def step(what: str) -> Iterator[list[str]]:
    """Show one step while it runs; what is put into the list stands behind it when it ends."""
    started = time.monotonic()
    words: list[str] = []
    ended = threading.Event()
    ticking = sys.stdout.isatty()

    def tick() -> None:
        while not ended.wait(1):
            print(f"\r  {what} … {time.monotonic() - started:.0f} s", end="", flush=True)

    clock = threading.Thread(target=tick, daemon=True)
    print(f"  {what} …", end="" if ticking else "\n", flush=True)
    if ticking:
        clock.start()
    try:
        yield words
    except BaseException:
        words[:] = ["failed"]
        raise
    finally:
        ended.set()
        if ticking:
            clock.join()
        took = f"{time.monotonic() - started:.1f} s"
        print(("\r\033[K" if ticking else "") + f"  {what}: {', '.join([*words, took])}", flush=True)
