"""PhantomMesh Alerts itself, as the process that an operator starts."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.world import process

# Where pip puts it: beside the interpreter of the environment that this runs in.
CONSOLE_SCRIPT = Path(sys.executable).with_name("phantommesh-alerts")

_LISTENING = re.compile(rb"listening on (http://[0-9.]+:[0-9]+)")
_READY_SECONDS = 20.0
_LONGEST_LINE_BYTES = 16 * 1024 * 1024


class Service:
    """One installation: a configuration, an environment, a state directory. Its process can die and come back.

    `url` is known after the first start and stays: the next start listens on the same port.
    """

    def __init__(
        self,
        *,
        state_dir: Path,
        env: Mapping[str, str],
        config_path: Path | None = None,
        options: tuple[str, ...] = (),
        port: int = 0,
        executable: Path = CONSOLE_SCRIPT,
    ) -> None:
        self.state_dir = state_dir
        self.env = dict(env)
        self.config_path = config_path
        self.options = options
        self.executable = executable
        self.log_path = state_dir.with_name(f"{state_dir.name}.log")
        self.url = f"http://127.0.0.1:{port}"
        self._program: process.Program | None = None
        self._pump: asyncio.Task[None] | None = None
        self._logged = asyncio.Event()

    @property
    def webhook_url(self) -> str:
        return f"{self.url}/webhook/alertmanager"

    @property
    def running(self) -> bool:
        """Whether it was started and not ended from here. It may have died by itself: `stop` tells how."""
        return self._program is not None

    @property
    def pid(self) -> int:
        return self._own().child.pid

    async def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            process.ProgramFailedError: it ended, or was not ready within 20 s, with the end of its log.
        """
        assert self._program is None, "already running"
        child = await asyncio.create_subprocess_exec(
            *process.mortal(self._command()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=process.environment(self.env),
            start_new_session=True,
            limit=_LONGEST_LINE_BYTES,
        )
        program = process.Program(
            child=child, name="phantommesh-alerts", url=self.url, log_path=self.log_path
        )
        self._program = program
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._pump = asyncio.create_task(self._follow(child, listening))
        try:
            program.url = self.url = await asyncio.wait_for(listening, timeout=_READY_SECONDS)
            await program.wait_answer("/-/ready", timeout_seconds=_READY_SECONDS)
        except (TimeoutError, process.ProgramFailedError) as error:
            await self.kill()
            raise process.ProgramFailedError(
                f"phantommesh-alerts did not start: {error}\n{program.log_tail()}"
            ) from error
        except asyncio.CancelledError:
            await self.kill()
            raise

    async def kill(self) -> None:
        """End it with kill -9: nothing is flushed, nothing is finished."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM, and the exit status.

        Raises:
            process.ProgramFailedError: it was still there after 20 s.
        """
        return await self._end(signal.SIGTERM)

    async def restart(self) -> None:
        """Start again on the same state directory and port, after `kill` or `stop` (or stop it first)."""
        if self.running:
            await self.stop()
        await self.start()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    async def wait_logged(self, pattern: re.Pattern[str], *, timeout_seconds: float) -> re.Match[str]:
        """Wait until the log, of every start, holds the pattern; return where it stands first.

        Raises:
            TimeoutError: with the end of the log.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while (found := pattern.search(self.log())) is None:
                    await self._logged.wait()
                return found
        except TimeoutError:
            raise TimeoutError(
                f"not logged within {timeout_seconds} s: {pattern.pattern}\n{self.log()[-6_000:]}"
            ) from None

    def _command(self) -> list[str | Path]:
        config: list[str | Path] = [] if self.config_path is None else ["--config", self.config_path]
        listen = self.url.removeprefix("http://")
        return [
            self.executable, "serve", *config, "--listen", listen, "--state-dir", self.state_dir, *self.options,
        ]  # fmt: skip

    async def _follow(self, child: asyncio.subprocess.Process, listening: asyncio.Future[str]) -> None:
        assert child.stdout is not None, "stdout is a pipe"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            async for line in child.stdout:
                log.write(line)
                log.flush()
                self._logged.set()
                self._logged = asyncio.Event()
                found = _LISTENING.search(line)
                if found is not None and not listening.done():
                    listening.set_result(found[1].decode())
        if not listening.done():
            listening.set_exception(process.ProgramFailedError(f"ended with {await child.wait()}"))

    async def _end(self, sent: signal.Signals) -> int:
        program = self._own()
        try:
            return await program.stop(sent)
        finally:
            assert self._pump is not None, "started with the process"
            await self._pump
            self._program = self._pump = None

    def _own(self) -> process.Program:
        if self._program is None:
            raise process.ProgramFailedError("phantommesh-alerts is not running")
        return self._program


@asynccontextmanager
async def run(
    *,
    state_dir: Path,
    env: Mapping[str, str],
    config_path: Path | None = None,
    options: tuple[str, ...] = (),
    port: int = 0,
    executable: Path = CONSOLE_SCRIPT,
    make: Callable[..., Service] = Service,
) -> AsyncIterator[Service]:
    """A service that is ready. It may be killed and restarted inside; in the end it is stopped if it runs."""
    service = make(
        state_dir=state_dir,
        env=env,
        config_path=config_path,
        options=options,
        port=port,
        executable=executable,
    )
    await service.start()
    try:
        yield service
    except Exception as error:
        error.add_note(f"--- log of phantommesh-alerts\n{service.log()[-6_000:]}")
        raise
    finally:
        if service.running:
            await service.stop()
