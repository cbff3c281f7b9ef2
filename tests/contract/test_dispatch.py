"""What is found at which path, and what holds for every answer, over the network."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routing import model
from tests.contract import served
from tests.unit.build import GROUP, alert, message

HEADERS = {
    "Server": "phantommesh-alerts",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[served.Served]:
    async with served.serve(tmp_path, runbooks={"a/b": "# Slashed\n", "50%": "# Half\n"}) as running:
        yield running


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    "path", ["/", "/-/healthy", "/metrics", "/runbooks/none", "/incidents/none", "/none", "/-/reload"]
)
async def test_every_answer_has_the_headers_of_all(service: served.Served, path: str, method: str) -> None:
    _, _, headers = await service.get(path, method=method)
    assert sorted(one for one in headers.items() if one[0] in HEADERS) == sorted(HEADERS.items())


@pytest.mark.parametrize("path", ["/", "/-/healthy", "/-/ready", "/metrics", "/api/v1/dead-letters"])
async def test_what_can_be_looked_at_has_a_head(service: served.Served, path: str) -> None:
    assert (await service.get(path, method="HEAD"))[:2] == (200, "")


@pytest.mark.parametrize(
    "path", ["/incidents", "/incidents/", "/runbooks/", "/incidents/a/b", "/metrics/", "//metrics"]
)
async def test_only_a_whole_path_is_found(service: served.Served, path: str) -> None:
    status, text, _ = await service.get(path)
    assert (status, "there is nothing at" in text) == (404, True)


@pytest.mark.parametrize(("asked", "title"), [("a%2Fb", "Slashed"), ("50%25", "Half")])
async def test_name_in_a_path_may_hold_what_divides_paths(
    service: served.Served, asked: str, title: str
) -> None:
    reader, _ = await service.raw(
        f"GET /runbooks/{asked} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    )
    answer = (await reader.read()).decode()
    assert answer.startswith("HTTP/1.1 200 ")
    assert title in answer


async def test_path_may_be_escaped_more_than_it_must(service: served.Served) -> None:
    await service.store.accept(message(alert(), group=GROUP), sources=[], body=b"", now=service.now)
    escaped = "".join(f"%{ord(letter):02X}" for letter in model.incident_id(GROUP))
    reader, _ = await service.raw(
        f"GET /%69ncidents/{escaped} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_whole_address_is_taken_for_its_path(service: served.Served) -> None:
    reader, _ = await service.raw(b"GET http://h/-/healthy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_cautious_client_may_send_its_body(service: served.Served) -> None:
    reader, writer = await service.raw(
        b"POST /-/reload HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"{}")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_other_expectations_are_417(service: served.Served) -> None:
    reader, _ = await service.raw(
        b"POST /-/reload HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\nExpect: cake\r\n\r\n"
    )
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert answer.endswith(b'{"error": "Expectation Failed", "pointer": ""}')
