"""What far ends do on the wire when they are ill, byte by byte, and that no destination minds.

What a stand-in can do is in test_destinations; this is what no HTTP server would do.
"""

import asyncio
import gzip
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from routing.destinations import contract, pagerduty, pagerduty_client, slack
from tests.unit import told

KEY = "s3cretkeys3cretkeys3cretkeys3cre"
SECRET = "s3cretWebhookTail"
TLS = Path(__file__).parents[1] / "fixtures" / "tls"
DEADLINE_SECONDS = 1.0

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Make = Callable[[str], contract.Destination]


def a_pager(base: str) -> contract.Destination:
    return pagerduty.PagerDuty(name="pager", routing_key=KEY, events_url=base)


def a_channel(base: str) -> contract.Destination:
    return slack.Slack(name="incidents", webhook_url=f"{base}/services/T/B/{SECRET}", channel="#incidents")


@pytest.fixture(params=[a_pager, a_channel], ids=["pagerduty", "slack"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a destination for a base address; with a deadline that a test can wait for."""
    monkeypatch.setattr(pagerduty_client, "DEADLINE_SECONDS", DEADLINE_SECONDS)
    monkeypatch.setattr(slack, "_TIMEOUT", aiohttp.ClientTimeout(total=DEADLINE_SECONDS, connect=0.5))
    made: Make = request.param
    return made


@asynccontextmanager
async def far_end(behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Something that listens; gives its base address."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behaviour(reader, writer)
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def failure_of(destination: contract.Destination) -> contract.Failure:
    try:
        async with asyncio.timeout(DEADLINE_SECONDS + 4):
            with pytest.raises(contract.Failure) as caught:
                await destination.send(told.opening(), plain=False)
    finally:
        await destination.close()
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert len(str(caught.value)) < 500
    return caught.value


async def heard(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    await reader.readexactly(length)


def says(sent: bytes, *, again: bytes = b"", pause_seconds: float = 0.0) -> Behaviour:
    """Reads the request, says this, and then that for ever (where there is something to say)."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(sent)
        while again:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause_seconds)

    return behave


async def hangs_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Closes before anything was said."""


async def says_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def reads_no_further_than_the_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()


BOMB = gzip.compress(b" " * 200_000_000, compresslevel=9)

TAKEN_OR_NOT = {
    "closes at once": hangs_up,
    "says nothing": says_nothing,
    "reads only the head": reads_no_further_than_the_head,
    "drips its status line": says(b"HTTP/1.1 ", again=b"2", pause_seconds=0.05),
    "drips its head": says(b"HTTP/1.1 202 OK\r\nX: ", again=b"x", pause_seconds=0.05),
    "never ends its head": says(b"HTTP/1.1 202 OK\r\n", again=b"X: y\r\n" * 1_000),
    "one endless header": says(b"HTTP/1.1 202 OK\r\nX: ", again=b"x" * 10_000),
    "drips its body": says(
        b"HTTP/1.1 202 OK\r\nContent-Length: 99999\r\n\r\n", again=b" ", pause_seconds=0.05
    ),
    "endless interim answers": says(b"", again=b"HTTP/1.1 100 Continue\r\n\r\n", pause_seconds=0.01),
    "no http": says(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "nonsense": says(b"\x00\xff\x16\x03\x01" * 50),
    "half a head": says(b"HTTP/1.1 202 OK\r\nContent-Le"),
    "half a body": says(b'HTTP/1.1 202 OK\r\nContent-Length: 100\r\n\r\n{"dedup'),
    "broken chunks": says(b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n"),
    "two lengths": says(b"HTTP/1.1 202 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    "not the bytes of its charset": says(
        b"HTTP/1.1 202 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\n\xff\xfe\x00"
    ),
    "a charset that nobody knows": says(
        b"HTTP/1.1 202 OK\r\nContent-Type: text/plain; charset=klingon\r\nContent-Length: 2\r\n\r\n??"
    ),
    "what is not packed as it says": says(
        b"HTTP/1.1 202 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"
    ),
    "a bomb": says(
        b"HTTP/1.1 202 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB
    ),
    "a status out of range": says(b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("behaviour", TAKEN_OR_NOT.values(), ids=TAKEN_OR_NOT.keys())
async def test_an_answer_that_is_none_passes_with_an_unknown_outcome(
    make: Make, behaviour: Behaviour
) -> None:
    async with far_end(behaviour) as base:
        failure = await failure_of(make(base))
    assert isinstance(failure, contract.Passing), failure
    assert not failure.outcome_known


@pytest.mark.parametrize("size", [1_000_000, 50_000_000])
async def test_no_more_of_an_answer_is_taken_in_than_is_worth_reading(make: Make, size: int) -> None:
    taken = 0

    async def pours(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await heard(reader)
        writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n\r\n" % size)
        while taken < size:
            writer.write(b"x" * 50_000)
            await writer.drain()
            taken += 50_000

    async with far_end(pours) as base:
        assert isinstance(await failure_of(make(base)), contract.Passing)
    # What the kernel's buffers hold is on its way in any case.
    assert taken <= 10_000_000


async def test_a_redirect_to_another_host_takes_no_secret_there(make: Make) -> None:
    visitors: list[bytes] = []

    async def notes(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        visitors.append(await reader.read(1))

    async with far_end(notes) as elsewhere:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere}/v2/enqueue\r\nContent-Length: 0\r\n\r\n"
        async with far_end(says(moved.encode())) as base:
            failure = await failure_of(make(base))
    assert isinstance(failure, contract.Broken)
    assert "redirect" in str(failure) or "307" in str(failure)
    assert visitors == []


# TLS.


def served_with(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{certificate}.crt", TLS / f"{certificate}.key")
    return context


async def test_a_certificate_that_nobody_vouches_for_gets_no_secret(make: Make) -> None:
    got: list[bytes] = []

    async def notes(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read(1))

    async with far_end(notes, tls=served_with("server")) as base:
        failure = await failure_of(make(base))
    assert isinstance(failure, contract.Passing)
    assert failure.outcome_known
    assert "certificate" in str(failure)
    assert got == []


@pytest.mark.parametrize("behaviour", [says_nothing, hangs_up], ids=["hangs", "closes"])
async def test_a_handshake_that_does_not_end_showed_nothing(make: Make, behaviour: Behaviour) -> None:
    async with far_end(behaviour) as base:
        failure = await failure_of(make(base.replace("http:", "https:")))
    assert isinstance(failure, contract.Passing)
    assert failure.outcome_known


async def test_an_answer_in_plain_text_where_tls_is_due_showed_nothing(make: Make) -> None:
    async def answers_at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with far_end(answers_at_once) as base:
        failure = await failure_of(make(base.replace("http:", "https:")))
    assert isinstance(failure, contract.Passing)
    assert failure.outcome_known


# Names.


async def test_a_name_that_cannot_exist_showed_nothing(make: Make) -> None:
    failure = await failure_of(make("http://far-end.invalid"))
    assert isinstance(failure, contract.Passing)
    assert failure.outcome_known


async def test_a_resolver_that_hangs_holds_up_nothing_else(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The default threads are few, and bodies are decoded on them: a name that hangs must not take them all.
    answer = threading.Event()

    def stuck(*_: object, **__: object) -> None:
        answer.wait(timeout=30)
        raise OSError("Temporary failure in name resolution")

    monkeypatch.setattr("socket.getaddrinfo", stuck)
    destinations = [make(f"http://far-end-{number}.invalid") for number in range(8)]
    try:
        failures = await asyncio.gather(*(failure_of(one) for one in destinations))
        async with asyncio.timeout(5):
            await asyncio.gather(*(asyncio.to_thread(bool) for _ in range(8)))
    finally:
        answer.set()
    assert {type(one) for one in failures} == {contract.Passing}
    assert all(one.outcome_known for one in failures)
