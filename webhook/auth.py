"""Who may post and who may look: one token, as a bearer token or as the password of any user."""

import base64
import binascii
import hmac
from dataclasses import dataclass, field

CHALLENGES = ('Bearer realm="phantommesh-alerts"', 'Basic realm="phantommesh-alerts", charset="UTF-8"')
"""Values of WWW-Authenticate: both ways that are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What is behind the token.

    Attributes:
        token: "" opens everything.
        pages_closed: whether the pages ask for it too.
        metrics_closed: whether the metrics ask for it too.
    """

    token: str = field(default="", repr=False)
    pages_closed: bool = False
    metrics_closed: bool = False

    def allows(self, authorization: str | None) -> bool:
        """Whether an Authorization header holds the token. The comparison takes the same time for all."""
        if not self.token:
            return True
        return hmac.compare_digest(_presented(authorization or ""), self.token.encode())


def _presented(authorization: str) -> bytes:
    scheme, _, credentials = authorization.partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        # aiohttp keeps bytes that are no UTF-8 as lone surrogates.
        return credentials.encode(errors="surrogateescape")
    if scheme.lower() == "basic":
        return _password(credentials)
    return b""


def _password(credentials: str) -> bytes:
    try:
        pair = base64.b64decode(credentials.encode(errors="surrogateescape"), validate=True)
    except binascii.Error:
        return b""
    return pair.partition(b":")[2]
