"""What a refused request is told, in one shape: two strings, `error` and `pointer`."""

from aiohttp import web

from webhook import auth

RETRY_AFTER_SECONDS = 2
_JSON = {"Content-Type": "application/json; charset=utf-8"}
WRONG_CREDENTIALS = "no credentials, or wrong ones"


def json(text: bytes) -> web.Response:
    """200, with JSON."""
    return web.Response(body=text, headers=_JSON)


def refusal(status: int, error: str, *, pointer: str = "") -> web.Response:
    """An answer that says what is wrong, and where in the body if it is there."""
    return web.json_response({"error": error, "pointer": pointer}, status=status)


def unavailable(error: str) -> web.Response:
    """503: nothing is wrong with the request, but now is no time for it. Alertmanager tries again by itself."""
    response = refusal(503, error)
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def unauthorized(error: str = WRONG_CREDENTIALS) -> web.Response:
    """401, with the ways to show the token."""
    response = refusal(401, error)
    for challenge in auth.CHALLENGES:
        response.headers.add("WWW-Authenticate", challenge)
    return response


def too_many_logins(wait_seconds: int) -> web.Response:
    """429, for who showed wrong credentials again and again. The connection ends with it."""
    response = refusal(429, "too many failed logins from your address")
    response.headers["Retry-After"] = str(wait_seconds)
    response.force_close()
    return response


def wrong_method(*allowed: str) -> web.Response:
    """405, with the methods that are right."""
    response = refusal(405, f"only {' or '.join(allowed)} is understood here")
    response.headers["Allow"] = ", ".join(allowed)
    return response
