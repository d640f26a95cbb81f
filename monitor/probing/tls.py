"""TLS over memory BIOs, so that timestamps remain those of the socket below.

Everything that one socket read completes is decrypted at once and returned together: the timestamp
of a record is that of the segment that completed it.
"""

import ssl
from functools import cache
from pathlib import Path
from typing import Any

import httpcore
import httpx

from monitor.bounded_io import content
from monitor.domain import Ending
from monitor.probing.limits import ProbeError, reason

RECORD_BYTES = 16 * 1024


@cache
def context(ca_file: str | None) -> ssl.SSLContext:
    """The one context per CA file: the system's authorities, and those of the file.

    The system's store is OpenSSL's, which SSL_CERT_FILE and SSL_CERT_DIR replace. If there is none,
    the list shipped with httpx is used. Certificates and host names are always verified. Raises
    ProbeError for an unusable file.
    """
    found = ssl.create_default_context() if _has_store() else _shipped()
    if ca_file is not None:
        try:
            content(Path(ca_file), within_s=0.0)  # OpenSSL would wait for ever for a named pipe
            found.load_verify_locations(cafile=ca_file)
        except OSError as error:
            cause = f"CA file {ca_file} cannot be used: {reason(error)}"
            raise ProbeError(Ending.TLS, cause) from error
    return found


def _has_store() -> bool:
    """Whether OpenSSL finds any system authority: slim images and some builds have none."""
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or any(Path(paths.capath or "/nowhere").glob("*"))


def _shipped() -> ssl.SSLContext:
    """The authorities that httpx ships."""
    return httpx.create_ssl_context(trust_env=False)


class TlsStream(httpcore.AsyncNetworkStream):
    """An encrypted stream over a timestamped one. Raises ProbeError on a wrong certificate."""

    def __init__(
        self,
        inner: httpcore.AsyncNetworkStream,
        ssl_context: ssl.SSLContext,
        *,
        host: str | None,
    ) -> None:
        self._inner = inner
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        try:
            self._tls = ssl_context.wrap_bio(self._in, self._out, server_hostname=host)
        except ValueError as error:
            raise ProbeError(Ending.TLS, f"{host}: {error}") from error

    async def handshake(self) -> None:
        """Do the handshake and verify the certificate. Raises ProbeError if that fails."""
        try:
            while not self._agreed():
                await self._flush()
                await self._fill()
            await self._flush()
        except ssl.SSLError as error:
            await self._say_goodbye()
            raise ProbeError(Ending.TLS, reason(error)) from error

    def _agreed(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The plain text that the next socket reads complete; empty at the end, regular or not."""
        while True:
            plain, ended = self._decrypted()
            await self._flush()
            if plain or ended:
                return plain
            await self._fill()

    def _decrypted(self) -> tuple[bytes, bool]:
        """All complete records available, and whether the stream ended after them."""
        records: list[bytes] = []
        try:
            while record := self._tls.read(RECORD_BYTES):
                records.append(record)
        except ssl.SSLWantReadError:
            return b"".join(records), False
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        except ssl.SSLError as error:
            if not records:
                raise ProbeError(Ending.PROTOCOL, f"TLS: {reason(error)}") from error
        return b"".join(records), True

    async def _say_goodbye(self) -> None:
        """Send the peer the reason for closing, if it still reads."""
        try:
            await self._flush()
        except httpcore.WriteError:
            return

    async def _fill(self) -> None:
        if data := await self._inner.read(RECORD_BYTES):
            self._in.write(data)
        else:
            self._in.write_eof()

    async def _flush(self) -> None:
        if self._out.pending:
            await self._inner.write(self._out.read())

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Encrypt and send everything."""
        if buffer:
            self._tls.write(buffer)
            await self._flush()

    async def aclose(self) -> None:
        """Close the socket below, without a TLS goodbye that could block."""
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._tls if info == "ssl_object" else self._inner.get_extra_info(info)
