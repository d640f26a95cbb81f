"""Expected trouble, in words a person can read."""

import os
import socket
import ssl

from monitor.domain import Ending


class ProbeError(Exception):
    """How the exchange ends, and why."""

    def __init__(self, ending: Ending, detail: str) -> None:
        super().__init__(detail)
        self.ending = ending
        self.detail = detail


def reason(error: OSError) -> str:
    """Why it failed, without addresses and source positions that libraries add."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)
