"""Who may post and who may look: a token, as a bearer token or as the password of any user."""

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
        previous_token: taken as well, while a new token makes its way to everyone who posts; "" for none.
        client_ca_digest: of the authorities (`certificates.Context`) whose clients may change something; "" where
            no certificate is asked for.
        pages_closed: whether the pages ask for it too.
        metrics_closed: whether the metrics ask for it too.
    """

    token: str = field(default="", repr=False)
    previous_token: str = field(default="", repr=False)
    client_ca_digest: str = ""
    pages_closed: bool = False
    metrics_closed: bool = False

    def allows(self, authorization: str | None) -> bool:
        """Whether an Authorization header holds the token. The comparison takes the same time for all."""
        if not self.token:
            return True
        presented = _presented(authorization or "")
        # Both are compared whatever the first one says, and a token that is not set equals nothing.
        current = hmac.compare_digest(presented, self.token.encode())
        previous = hmac.compare_digest(presented, self.previous_token.encode())
        return current or (previous and bool(self.previous_token))


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
