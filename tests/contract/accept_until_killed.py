"""Accepts messages as fast as it can and prints the number of each that was acknowledged. For the crash test.

Usage: accept_until_killed.py STATE_DIR FIRST_NUMBER
"""

import asyncio
import itertools
import os
import sys
from pathlib import Path

from tests.unit.build import alert, at, message
from webhook.store import sqlite


async def main() -> None:
    store = await sqlite.open_store(Path(sys.argv[1]))
    numbers = itertools.count(int(sys.argv[2]))

    async def accept() -> None:
        for number in numbers:
            notification = message(alert(str(number)), group={"number": str(number)})
            await store.accept(notification, sources=["eu-1"], body=b"%d" % number, now=at(number))
            os.write(1, b"%d\n" % number)

    await asyncio.gather(*(accept() for _ in range(16)))


asyncio.run(main())
