"""Asks a running service over HTTP: for commands that change what only its process may change."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

_SECONDS = 15.0
_ANSWER_BYTES = 16 * 1024 * 1024


class Unanswered(Exception):
    """The service did not do it; the text says why and what would help, and holds no secret."""


def post(url: str, path: str, body: Mapping[str, Any], *, token: str) -> Any:
    """Post JSON; returns the answer's JSON.

    Args:
        url: of the service, without a path.
        path: begins with a slash.
        body: what is asked.
        token: "" where the service asks for none.

    Raises:
        Unanswered: it refused, or is not there.
    """
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        f"{url}{path}", data=json.dumps(body).encode(), headers=headers, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - as above
            return json.loads(answer.read(_ANSWER_BYTES))
    except urllib.error.HTTPError as refused:
        with refused:
            raise Unanswered(_said(url, refused)) from None
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Unanswered(
            f"{url}: no answer ({reason}): is `serve` running there? Name another address with --url"
        ) from None


def _said(url: str, refused: urllib.error.HTTPError) -> str:
    advice = "; set WEBHOOK_TOKEN (or WEBHOOK_TOKEN_FILE) to the service's" if refused.code == 401 else ""  # noqa: PLR2004
    try:
        said = str(json.loads(refused.read(_ANSWER_BYTES))["error"])
    except (ValueError, KeyError, TypeError):
        said = str(refused.reason)
    return f"{url} answered {refused.code}: {said}{advice}"
