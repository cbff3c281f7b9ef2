"""The token: how it may be shown, and that nothing else opens what is closed. Over HTTP: tests/contract/test_intake."""

import base64

import pytest

from webhook import auth

CLOSED = auth.Access(token="sécret:with colon")


def basic(pair: bytes) -> str:
    return "Basic " + base64.b64encode(pair).decode()


@pytest.mark.parametrize(
    "header",
    [
        "Bearer sécret:with colon",
        "BEARER   sécret:with colon ",
        basic("anybody:sécret:with colon".encode()),
        basic(":sécret:with colon".encode()),
    ],
)
def test_token_opens(header: str) -> None:
    assert CLOSED.allows(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "sécret:with colon",
        "Bearer sécret:with",
        "Bearer sécret:with colon2",
        "Token sécret:with colon",
        basic("sécret:with colon".encode()),
        basic("sécret:with colon:".encode()),
        basic(b""),
        "Basic sécret",
        basic("anybody:sécret:with colon".encode()) + "!",
        "Basic \udcff",
    ],
)
def test_anything_else_does_not(header: str | None) -> None:
    assert not CLOSED.allows(header)


@pytest.mark.parametrize("header", [None, "Bearer whatever"])
def test_without_a_token_all_is_open(header: str | None) -> None:
    assert auth.Access().allows(header)


def test_token_does_not_show_in_a_trace() -> None:
    assert "sécret" not in repr(CLOSED)
