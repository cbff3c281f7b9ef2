"""TLS by file: what a server shows, whom of its clients it knows, and how both change while it serves."""

import hashlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from webhook import environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """PEM files.

    Attributes:
        cert: the server's certificate, and the chain up to its authority.
        key: belongs to the certificate; not encrypted.
        client_ca: the authorities whose clients may change something; None where no certificate is asked for.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None


class Unusable(ValueError):
    """A file cannot serve.

    Attributes:
        field: of `Files`, whose file it is; "" where cert and key do not belong together.
    """

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class Context(ssl.SSLContext):
    """What a new connection is served with.

    Attributes:
        files_digest: of all files, to see that one of them changed.
        client_ca_digest: of the clients' authorities alone; "" where no certificate is asked for.
    """

    files_digest: str
    client_ca_digest: str


def load(files: Files) -> Context:
    """Read the files.

    Raises:
        Unusable: saying which file, and why.
    """
    contents = _contents(files)
    context = Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.files_digest = _digest(*contents.values())
    context.client_ca_digest = _digest(contents["client_ca"]) if "client_ca" in contents else ""
    try:
        # The empty password keeps an encrypted key from asking for one at the terminal.
        context.load_cert_chain(files.cert, files.key, password="")
    except ssl.SSLError as error:
        raise Unusable("", f"cert and key cannot be used together: {error.reason or 'no PEM'}") from error
    if files.client_ca is not None:
        try:
            context.load_verify_locations(cadata=contents["client_ca"])
        except (ssl.SSLError, ValueError) as error:
            raise Unusable("client_ca", f"{files.client_ca} holds no certificate in PEM") from error
        # Optional here, because probes and browsers have none; webhook.guard asks for it where something changes.
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def faults(files: Files) -> Sequence[Unusable]:
    """Why the files cannot serve: everything that is wrong with them."""
    unreadable = []
    for field, path in _paths(files).items():
        try:
            environment.file(path)
        except environment.Unusable as error:
            unreadable.append(Unusable(field, str(error)))
    if unreadable:
        return unreadable
    try:
        load(files)
    except Unusable as fault:
        return (fault,)
    return ()


def digest(files: Files) -> str:
    """Of the files as they are now.

    Raises:
        Unusable: one of them cannot be read.
    """
    return _digest(*_contents(files).values())


def _paths(files: Files) -> dict[str, Path]:
    named = {"cert": files.cert, "key": files.key, "client_ca": files.client_ca}
    return {field: path for field, path in named.items() if path is not None}


def _contents(files: Files) -> dict[str, str]:
    contents = {}
    for field, path in _paths(files).items():
        try:
            contents[field] = environment.file(path)
        except environment.Unusable as error:
            raise Unusable(field, str(error)) from error
    return contents


def _digest(*contents: str) -> str:
    return hashlib.sha256("\0".join(contents).encode()).hexdigest()


class Changing(ssl.SSLContext):
    """Stands before the context in force, so that a listening socket need not be opened anew for another one.

    asyncio asks the context that it was given to wrap each new connection; connections that are there keep theirs.
    """

    current: Context

    def __new__(cls, context: Context) -> Self:
        """Serve with this until another one is put into `current`."""
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made.current = context
        return made

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Begin a connection, with the context in force now."""
        return self.current.wrap_bio(*arguments, **named)
