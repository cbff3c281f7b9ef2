"""The TLS of the listening socket while it serves: renewed files are taken without a restart."""

import asyncio
import logging

from webhook import certificates

_LOOK_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Refused(Exception):
    """A configuration cannot be taken by a service that runs."""


class Channel:
    """What new connections are served with. Files are read in threads; connections that are there stay."""

    def __init__(self, *, look_seconds: float = _LOOK_SECONDS) -> None:
        self._look_seconds = look_seconds
        self._files: certificates.Files | None = None
        self._changing: certificates.Changing | None = None
        self._used = False
        self._failed_digest = ""

    @property
    def context(self) -> certificates.Changing | None:
        """For the listening socket: the same for its whole life. None without TLS."""
        return self._changing

    @property
    def client_ca_digest(self) -> str:
        """Of the authorities whose clients may change something (`webhook.auth.Access`)."""
        return self._changing.current.client_ca_digest if self._changing is not None else ""

    def prepare(self, files: certificates.Files | None) -> certificates.Context | None:
        """What `use` is to be given for these files. Blocks.

        Raises:
            Refused: TLS would begin or end, which a listening socket cannot; or the files cannot be used any more.
        """
        if self._used and (files is None) != (self._changing is None):
            raise Refused("tls: to turn TLS on or off needs a restart; nothing of this file is in force")
        try:
            return certificates.load(files) if files is not None else None
        except certificates.Unusable as fault:
            raise Refused(f"tls: {fault}") from fault

    def use(self, files: certificates.Files | None, context: certificates.Context | None) -> None:
        """Serve with these files from the next connection on."""
        if context is not None:
            if self._changing is None:
                self._changing = certificates.Changing(context)
            self._changing.current = context
        self._files = files
        self._used = True

    async def follow_files(self) -> None:
        """Take files that changed, for ever. One that cannot be used is told once, and the former stay in force."""
        while True:
            await asyncio.sleep(self._look_seconds)
            await self.look()

    async def look(self) -> None:
        """Take files that changed since the last look."""
        if self._files is not None:
            await asyncio.to_thread(self._look, self._files)

    def _look(self, files: certificates.Files) -> None:
        assert self._changing is not None, "there are files"
        digest = ""
        try:
            digest = certificates.digest(files)
            if digest == self._changing.current.files_digest:
                return
            self._changing.current = certificates.load(files)
        except certificates.Unusable as fault:
            # Renewal writes two files; between the two they do not belong together.
            if digest != self._failed_digest:
                _log.warning("renewed TLS files cannot be used, the former stay", extra={"fault": str(fault)})
            self._failed_digest = digest
        else:
            self._failed_digest = ""
            _log.info("renewed TLS files are in use", extra={"cert": str(files.cert)})
