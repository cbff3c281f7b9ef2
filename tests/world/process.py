"""A real program as a child process: its log in a file, ready or dead with the reason, reaped in the end."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import aiohttp

_LOG_TAIL_BYTES = 6_000
_PROBE_SECONDS = 0.05
_TERM_SECONDS = 20.0


class ProgramFailedError(RuntimeError):
    """The program ended, or was not ready in time. The text holds the end of its log."""


class Program:
    """One running child process. `url` is where it listens; `log_path` holds what it wrote, of every start."""

    def __init__(self, *, child: asyncio.subprocess.Process, name: str, url: str, log_path: Path) -> None:
        self.child = child
        self.name = name
        self.url = url
        self.log_path = log_path

    def log_tail(self) -> str:
        tail = self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return f"--- end of the log of {self.name} ({self.log_path})\n{tail}"

    async def wait_answer(self, path: str, *, timeout_seconds: float) -> None:
        """Wait until a GET of the path is answered with 200.

        Raises:
            ProgramFailedError: it ended first, or the time is over.
        """
        ended = asyncio.create_task(self.child.wait())
        answered = asyncio.create_task(_answered(self.url + path))
        try:
            done, _ = await asyncio.wait(
                {ended, answered}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (ended, answered):
                task.cancel()
            await asyncio.gather(ended, answered, return_exceptions=True)
        if ended in done:
            raise ProgramFailedError(f"{self.name} ended with {self.child.returncode}\n{self.log_tail()}")
        if not done:
            raise ProgramFailedError(f"{self.name} not ready in {timeout_seconds} s\n{self.log_tail()}")

    async def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait for the end and return the exit status. A program that stays is killed.

        Raises:
            ProgramFailedError: it had to be killed.
        """
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(sent)
        try:
            return await asyncio.wait_for(self.child.wait(), timeout=_TERM_SECONDS)
        except TimeoutError:
            self.child.kill()
            await self.child.wait()
            raise ProgramFailedError(
                f"{self.name} ignored {sent.name} for {_TERM_SECONDS} s\n{self.log_tail()}"
            ) from None


async def start(
    *command: str | Path,
    name: str,
    url: str,
    log_path: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Program:
    """Start a program whose output goes to the end of its log. It dies with this process, however that ends."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            *mortal(command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(env or {}),
            cwd=cwd,
            # Ctrl-C in a terminal is for the parent, which stops its programs in order.
            start_new_session=True,
        )
    return Program(child=child, name=name, url=url, log_path=log_path)


def mortal(command: Sequence[str | Path]) -> list[str]:
    """The command such that the kernel kills it when its parent dies, where util-linux is there to ask for it."""
    plain = [str(word) for word in command]
    setpriv = shutil.which("setpriv")
    return plain if setpriv is None else [setpriv, "--pdeathsig", "KILL", *plain]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Only what a program needs and what is given: no key or proxy of the person who runs the tests."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **given}


@contextlib.asynccontextmanager
async def supervised(program: Program) -> AsyncIterator[Program]:
    """Stop the program in the end. A failure inside carries the end of its log as a note."""
    try:
        yield program
    except Exception as error:
        error.add_note(program.log_tail())
        raise
    finally:
        await program.stop()


async def _answered(url: str) -> None:
    timeout = aiohttp.ClientTimeout(total=2)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass  # Not listening yet. A program of others has no event that says when it does.
            await asyncio.sleep(_PROBE_SECONDS)
