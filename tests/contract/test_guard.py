"""Who is let in, over HTTP and TLS: two tokens, failed logins, client certificates, renewed files."""

import asyncio
import contextlib
import logging
import shutil
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.contract import served
from webhook import auth, certificates, channel, logins

TLS = Path(__file__).parents[1] / "fixtures" / "tls"
GOOD = (served.FIXTURES / "good.json").read_bytes()
TOKEN = "the new token"
PREVIOUS = "the old token"
POST = "/webhook/alertmanager"


def bearer(token: str) -> dict[str, str]:
    return {**served.JSON, "Authorization": f"Bearer {token}"}


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[served.Served]:
    async with served.serve(tmp_path, access=auth.Access(token=TOKEN)) as running:
        yield running


# Tokens


async def test_during_a_rotation_both_tokens_are_taken_and_after_it_the_new_one(
    closed: served.Served,
) -> None:
    closed.access = auth.Access(token=TOKEN, previous_token=PREVIOUS)
    assert [(await closed.post(GOOD, bearer(each)))[0] for each in (TOKEN, PREVIOUS, "neither")] == [
        200,
        200,
        401,
    ]
    closed.access = auth.Access(token=TOKEN)
    assert [(await closed.post(GOOD, bearer(each)))[0] for each in (TOKEN, PREVIOUS)] == [200, 401]


# Failed logins


async def test_who_fails_too_often_is_told_to_wait_but_the_right_token_is_never_kept_waiting(
    closed: served.Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(logins.BURST):
        closed.failures.count("127.0.0.1")
    status, answer, headers = await closed.post(GOOD, bearer("wrong"))
    assert (status, headers["Retry-After"]) == (429, "1")
    assert set(answer) == {"error", "pointer"}
    assert (await closed.get("/-/reload", method="POST", headers=bearer("wrong")))[0] == 429
    assert (await closed.post(GOOD, bearer(TOKEN)))[0] == 200
    closed.monotonic += 10
    assert (await closed.post(GOOD, bearer("wrong")))[0] == 401
    said = [record for record in caplog.records if record.name == "webhook.guard"]
    assert [(record.levelname, vars(record)["address"]) for record in said] == [("WARNING", "127.0.0.1")]


async def test_failed_logins_are_counted(closed: served.Served) -> None:
    await closed.post(GOOD, bearer("wrong"))
    await closed.get("/-/reload", method="POST")
    await closed.post(GOOD, bearer(TOKEN))
    assert "phantommesh_alerts_logins_failed_total 2.0" in (await closed.get("/metrics"))[1]


async def test_a_cautious_client_that_fails_is_counted_once(closed: served.Served) -> None:
    reader, _writer = await closed.raw(
        b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n"
    )
    assert (await reader.readline()).split()[1] == b"401"
    assert "phantommesh_alerts_logins_failed_total 1.0" in (await closed.get("/metrics"))[1]


# TLS


class Secured:
    """The service on TLS, with files that can be renewed under it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.channel = channel.Channel(look_seconds=0.01)
        for fixture, name in (
            ("server.crt", "tls.crt"),
            ("server.key", "tls.key"),
            ("clients.crt", "ca.crt"),
        ):
            self.install(fixture, name)

    def install(self, fixture: str, name: str) -> None:
        shutil.copyfile(TLS / fixture, self.folder / f"{name}.new")
        (self.folder / f"{name}.new").rename(self.folder / name)

    @asynccontextmanager
    async def serve(self, *, client_ca: bool) -> AsyncIterator[served.Served]:
        files = certificates.Files(
            cert=self.folder / "tls.crt",
            key=self.folder / "tls.key",
            client_ca=self.folder / "ca.crt" if client_ca else None,
        )
        self.channel.use(files, self.channel.prepare(files))
        tls = self.channel.context
        async with served.serve(self.folder / "state", access=auth.Access(token=TOKEN), tls=tls) as running:
            running.client_ca_digest = lambda: self.channel.client_ca_digest
            yield running


@pytest.fixture
def secured(tmp_path: Path) -> Secured:
    return Secured(tmp_path)


def trusting(certificate: str | None = None) -> ssl.SSLContext:
    """A client's TLS that trusts the server's certificate, the first and the renewed one."""
    context = ssl.create_default_context(cafile=TLS / "server.crt")
    context.load_verify_locations(TLS / "renewed.crt")
    if certificate is not None:
        context.load_cert_chain(TLS / f"{certificate}.crt", TLS / f"{certificate}.key")
    return context


async def ask(
    running: served.Served,
    path: str,
    *,
    tls: ssl.SSLContext,
    headers: Mapping[str, str] | None = None,
    session: aiohttp.ClientSession | None = None,
) -> tuple[int, Mapping[str, str]]:
    """Status and headers of a GET, or of a POST where something changes."""
    method = "POST" if path in (POST, "/-/reload") else "GET"
    async with contextlib.AsyncExitStack() as closing:
        if session is None:
            session = await closing.enter_async_context(aiohttp.ClientSession())
        answer = await closing.enter_async_context(
            session.request(
                method, running.url + path, ssl=tls, headers=headers, data=GOOD if path == POST else None
            )
        )
        await answer.read()
        return answer.status, answer.headers


async def shown(running: served.Served) -> bytes | None:
    """The certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=trusting())
    certificate: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return certificate


def certificate_in(fixture: str) -> bytes:
    _note, _, pem = (TLS / fixture).read_text().partition("\n")
    return ssl.PEM_cert_to_DER_cert(pem)


async def test_a_renewed_certificate_is_shown_without_a_reload_and_open_connections_stay(
    secured: Secured,
) -> None:
    async with secured.serve(client_ca=False) as running, aiohttp.ClientSession() as session:
        assert await shown(running) == certificate_in("server.crt")
        trusts = trusting()
        assert (await ask(running, "/-/healthy", tls=trusts, session=session))[0] == 200
        secured.install("renewed.key", "tls.key")
        secured.install("renewed.crt", "tls.crt")
        following = asyncio.create_task(secured.channel.follow_files())
        async with asyncio.timeout(20):
            while await shown(running) != certificate_in("renewed.crt"):  # noqa: ASYNC110 - as the net sees it
                await asyncio.sleep(0.01)
        following.cancel()
        assert (await ask(running, POST, tls=trusts, session=session, headers=bearer(TOKEN)))[0] == 200


async def test_files_that_cannot_be_used_are_told_once_and_the_former_stay(
    secured: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "webhook.channel")
    async with secured.serve(client_ca=False) as running:
        secured.install("renewed.crt", "tls.crt")  # the key of the former
        for _ in range(3):
            await secured.channel.look()
        assert await shown(running) == certificate_in("server.crt")
        secured.install("renewed.key", "tls.key")
        await secured.channel.look()
        assert await shown(running) == certificate_in("renewed.crt")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "cert and key cannot be used together" in str(vars(caplog.records[0])["fault"])


@pytest.mark.parametrize("path", [POST, "/-/reload"])
async def test_who_changes_something_needs_a_certificate_and_the_token(secured: Secured, path: str) -> None:
    async with secured.serve(client_ca=True) as running:
        allowed = await ask(running, path, tls=trusting("client"), headers=bearer(TOKEN))
        without_certificate = await ask(running, path, tls=trusting(), headers=bearer(TOKEN))
        without_token = await ask(running, path, tls=trusting("client"), headers=bearer("wrong"))
        assert (allowed[0], without_certificate[0], without_token[0]) == (200, 401, 401)
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):  # the handshake ends it
            await ask(running, path, tls=trusting("other-client"), headers=bearer(TOKEN))


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready", "/metrics", "/"])
async def test_who_only_looks_needs_no_certificate(secured: Secured, path: str) -> None:
    async with secured.serve(client_ca=True) as running:
        assert (await ask(running, path, tls=trusting()))[0] == 200


async def test_an_authority_that_was_replaced_opens_nothing_more_not_even_on_an_open_connection(
    secured: Secured,
) -> None:
    former, newer = trusting("client"), trusting("other-client")
    async with secured.serve(client_ca=True) as running, aiohttp.ClientSession() as session:
        assert (await ask(running, POST, tls=former, session=session, headers=bearer(TOKEN)))[0] == 200
        secured.install("other-clients.crt", "ca.crt")
        await secured.channel.look()
        status, headers = await ask(running, POST, tls=former, session=session, headers=bearer(TOKEN))
        assert (status, headers["Connection"]) == (503, "close"), "Alertmanager comes again at once, anew"
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await ask(running, POST, tls=former, headers=bearer(TOKEN))
        assert (await ask(running, POST, tls=newer, headers=bearer(TOKEN)))[0] == 200


def test_tls_is_not_turned_on_or_off_while_it_serves(secured: Secured) -> None:
    files = certificates.Files(cert=secured.folder / "tls.crt", key=secured.folder / "tls.key")
    plain, safe = channel.Channel(), channel.Channel()
    plain.use(None, plain.prepare(None))
    safe.use(files, safe.prepare(files))
    for each, wanted in ((plain, files), (safe, None)):
        with pytest.raises(channel.Refused, match="needs a restart"):
            each.prepare(wanted)
