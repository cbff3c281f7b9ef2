"""Threads for calls that cannot be broken off."""

import asyncio
import subprocess
import sys
import threading

import pytest

from routing.destinations import threads


async def test_a_call_s_result_comes_back() -> None:
    assert await threads.Threads("t", 1).run(lambda: 7) == 7


async def test_a_call_s_error_comes_back() -> None:
    with pytest.raises(ZeroDivisionError):
        await threads.Threads("t", 1).run(lambda: 1 // 0)


async def test_a_call_runs_on_a_thread_of_the_name() -> None:
    assert await threads.Threads("pager", 1).run(lambda: threading.current_thread().name) == "pager"


async def test_no_more_calls_than_it_may_run_at_once() -> None:
    own, gate, running = threads.Threads("t", 2), threading.Event(), threading.Semaphore(0)

    def call() -> None:
        running.release()
        gate.wait(timeout=10)

    calls = [asyncio.create_task(own.run(call)) for _ in range(3)]
    for _ in range(2):
        assert await asyncio.to_thread(running.acquire, timeout=5)
    assert not running.acquire(blocking=False)
    gate.set()
    await asyncio.gather(*calls)


async def test_a_call_that_nobody_waits_for_keeps_its_place_until_it_ends() -> None:
    own, gate = threads.Threads("t", 1), threading.Event()
    left = asyncio.create_task(own.run(lambda: gate.wait(timeout=10)))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([left])
    later = asyncio.create_task(own.run(lambda: "later"))
    await asyncio.sleep(0.01)
    assert not later.done()
    gate.set()
    assert await later == "later"


def test_a_call_that_hangs_does_not_keep_the_process_from_ending() -> None:
    script = (
        "import asyncio, threading\n"
        "from routing.destinations import threads\n"
        "async def main():\n"
        "    calls = threads.Threads('t', 1)\n"
        "    try:\n"
        "        await asyncio.wait_for(calls.run(threading.Event().wait), 0.05)\n"
        "    except TimeoutError:\n"
        "        print('given up')\n"
        "asyncio.run(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert (ran.stdout, ran.stderr) == ("given up\n", "")
