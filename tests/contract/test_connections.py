"""Clients that keep us waiting, and clients that speak HTTP in other ways, over real sockets."""

import asyncio
import resource
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.contract import served
from webhook import auth, connections

GOOD = (served.FIXTURES / "good.json").read_bytes()
HEAD = b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
POST = HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
GET = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
SHORT = connections.Limits(connections=50, asking_seconds=0.2, answering_seconds=0.6, idle_seconds=0.4)
LONG = connections.Limits(connections=3)

Slow, Crowded = connections.Cut.SLOW, connections.Cut.CROWDED


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[served.Served]:
    """A service that waits for nobody."""
    async with served.serve(tmp_path, limits=SHORT) as running:
        yield running


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[served.Served]:
    """A service with room for three."""
    async with served.serve(tmp_path, limits=LONG) as running:
        yield running


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of many connections are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What came until the connection was closed."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One answer's status and body."""
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        return int(head.split()[1]), await reader.readexactly(length)


class TestWaiting:
    async def test_for_a_client_that_says_nothing_ends(self, hasty: served.Served) -> None:
        reader, _ = await hasty.raw(b"")
        assert await ended(reader) == b""
        assert hasty.cuts == [Slow]

    async def test_for_a_head_that_drips_ends_though_bytes_come(self, hasty: served.Served) -> None:
        reader, writer = await hasty.raw(b"GET / HTTP/1.1\r\nX: ")
        closed = asyncio.create_task(ended(reader))
        while not closed.done():
            writer.write(b"x")
            await asyncio.wait([closed], timeout=0.02)
        assert closed.result() == b""
        assert hasty.cuts == [Slow]

    async def test_for_the_next_head_on_a_kept_connection_ends_too(self, hasty: served.Served) -> None:
        reader, writer = await hasty.raw(GET)
        assert (await answer(reader))[0] == 200
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        closed = asyncio.create_task(ended(reader))
        began = time.monotonic()
        while not closed.done():
            writer.write(b"x")
            await asyncio.wait([closed], timeout=0.02)
        assert hasty.cuts == [Slow]
        assert time.monotonic() - began >= SHORT.asking_seconds

    async def test_for_the_next_request_ends(self, hasty: served.Served) -> None:
        reader, _ = await hasty.raw(GET)
        assert (await answer(reader))[0] == 200
        assert await ended(reader) == b""
        assert hasty.cuts == [Slow]

    async def test_for_a_body_ends_even_where_nobody_reads_it(self, hasty: served.Served) -> None:
        reader, _ = await hasty.raw(HEAD + b"Content-Length: 1000\r\n\r\n{")
        assert await ended(reader) == b""
        assert hasty.cuts == [Slow]

    async def test_for_a_client_that_does_not_read_its_answers_ends(self, hasty: served.Served) -> None:
        _, writer = await hasty.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        async with asyncio.timeout(10):
            # Nothing is read here, so nothing here tells when it was cut.
            while not hasty.cuts:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        writer.transport.abort()
        assert len(hasty.connections) == 0

    async def test_is_no_matter_for_who_asks_again_in_time(self, hasty: served.Served) -> None:
        reader, writer = await hasty.raw(GET)
        for _ in range(10):
            assert (await answer(reader))[0] == 200
            await asyncio.sleep(SHORT.asking_seconds / 4)
            writer.write(GET)
        assert hasty.cuts == []

    async def test_is_counted(self, hasty: served.Served) -> None:
        reader, _ = await hasty.raw(b"")
        await ended(reader)
        _, text, _ = await hasty.get("/metrics")
        assert 'phantommesh_alerts_connections_cut_total{reason="slow"} 1.0' in text
        assert 'phantommesh_alerts_connections_cut_total{reason="crowded"} 0.0' in text

    async def test_ends_behind_tls_too(self, tmp_path: Path) -> None:
        files = Path(__file__).parents[1] / "fixtures" / "tls"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files / "server.crt", files / "server.key")
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        async with served.serve(tmp_path, limits=SHORT, tls=context) as secure:
            reader, writer = await asyncio.open_connection("127.0.0.1", secure.port, ssl=client)
            writer.write(POST)
            assert (await answer(reader))[0] == 200
            writer.write(b"GET / HT")
            assert await ended(reader) == b""
            assert secure.cuts == [Slow]
            writer.close()


class TestCrowd:
    async def test_makes_room_by_those_who_ask_for_nothing_the_oldest_first(
        self, narrow: served.Served
    ) -> None:
        readers = [(await narrow.raw(b"GET"))[0] for _ in range(3)]
        assert (await narrow.post(GOOD))[0] == 200
        assert await ended(readers[0]) == b""
        assert narrow.cuts == [Crowded]
        assert not readers[1].at_eof()

    async def test_spares_who_was_answered_for_those_who_never_asked(self, narrow: served.Served) -> None:
        known, writer = await narrow.raw(GET)
        assert (await answer(known))[0] == 200
        strangers = [(await narrow.raw(b""))[0] for _ in range(4)]
        assert [await ended(one) for one in strangers[:2]] == [b"", b""]
        writer.write(POST)
        assert (await answer(known))[0] == 200

    async def test_takes_who_is_idle_when_there_is_nobody_else(self, narrow: served.Served) -> None:
        idle = [(await narrow.raw(GET))[0] for _ in range(3)]
        assert [(await answer(reader))[0] for reader in idle] == [200] * 3
        assert (await narrow.post(GOOD))[0] == 200
        assert await ended(idle[0]) == b""

    async def test_never_takes_who_is_being_answered(self, narrow: served.Served) -> None:
        half = HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD[:-1]
        asking = [await narrow.raw(half) for _ in range(3)]
        async with asyncio.timeout(10):
            while narrow.connections.count(connections.Phase.ANSWERING) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        turned_away, _ = await narrow.raw(POST)
        assert await ended(turned_away) == b""
        for reader, writer in asking:
            writer.write(GOOD[-1:])
            assert (await answer(reader))[0] == 200

    @pytest.mark.usefixtures("many_files")
    async def test_of_hundreds_that_drip_keeps_no_message_waiting(self, tmp_path: Path) -> None:
        async with served.serve(tmp_path, limits=connections.Limits(connections=550)) as service:
            crowd = [await service.raw(b"POST /webhook/alertmanager HTTP/1.1\r\nX: ") for _ in range(600)]
            for _ in range(3):
                for _, writer in crowd:
                    writer.write(b"x")
                began = time.monotonic()
                assert (await service.post(GOOD))[0] == 200
                assert time.monotonic() - began < 2
            assert len(service.connections) <= 550
            assert service.cuts.count(Crowded) >= 50


def test_half_of_the_files_are_left_for_other_things() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
        assert connections.limits().connections == 150
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096), hard))
        assert connections.limits().connections <= 1_000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestSpeaking:
    async def test_several_requests_at_once_are_answered_in_order(self, hasty: served.Served) -> None:
        reader, _ = await hasty.raw(POST + HEAD + b"Content-Length: 2\r\n\r\n{}" + POST)
        assert [(await answer(reader))[0] for _ in range(3)] == [200, 400, 200]

    async def test_http_1_0_is_answered_and_closed(self, hasty: served.Served) -> None:
        reader, _ = await hasty.raw(POST.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await ended(reader)).split()[1] == b"200"

    async def test_http_1_0_without_a_length_is_an_empty_body(self, hasty: served.Served) -> None:
        reader, _ = await hasty.raw(HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n")
        assert (await ended(reader)).split()[1] == b"400"

    async def test_chunks_are_put_together(self, hasty: served.Served) -> None:
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD)
        reader, _ = await hasty.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        assert (await answer(reader))[0] == 200

    async def test_chunks_without_end_are_413(self, tmp_path: Path) -> None:
        async with served.serve(tmp_path, max_body_bytes=10_000) as service:
            reader, writer = await service.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            got = asyncio.create_task(answer(reader))
            while not got.done():
                writer.write(b"400\r\n" + b" " * 1_024 + b"\r\n")
                await asyncio.wait([got], timeout=0.01)
            assert got.result()[0] == 413

    async def test_an_offer_to_change_the_protocol_is_not_taken_up(self, hasty: served.Served) -> None:
        upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(GOOD)
        reader, _ = await hasty.raw(HEAD + upgrade + GOOD)
        assert (await answer(reader))[0] == 200

    @pytest.mark.parametrize(
        "sent",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"nonsense\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            HEAD + b"Content-Length: -1\r\n\r\n",
            HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
            HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
            HEAD + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
            HEAD + b"X: y\r\n" * 1_000 + b"\r\n",
            HEAD + b"X: \x00\r\n\r\n",
            b"POST /webhook/alertmanager?" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        ],
        ids=range(11),
    )
    async def test_what_is_no_http_is_400_and_closed_and_makes_no_noise(
        self, tmp_path: Path, sent: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with served.serve(tmp_path, access=auth.Access(token="t0ken")) as service:
            reader, _ = await service.raw(sent)
            said = await ended(reader)
            assert said.split()[1] in (b"400", b"401")
            assert b"aiohttp" not in said
            assert b"Python" not in said
            assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
            assert (await service.post(GOOD, served.JSON | {"Authorization": "Bearer t0ken"}))[0] == 200
