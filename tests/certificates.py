"""Certificates made on the spot by the `openssl` command: good, expired, of another host."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = "DNS:localhost,IP:127.0.0.1,IP:::1"


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of our own in a directory of its own."""

    home: Path

    @property
    def ca_file(self) -> str:
        return str(self.home / "ca.pem")

    def server(self, name: str, *, hosts: str = HERE, days: int = 2) -> ssl.SSLContext:
        """A server's context with a fresh certificate; negative `days` make an expired one."""
        _openssl(
            self.home, f"req -newkey {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        )
        (self.home / f"{name}.ext").write_text(f"subjectAltName={hosts}\n")
        _openssl(
            self.home,
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial"
            f" -days {days} -extfile {name}.ext -out {name}.pem",
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.home / f"{name}.pem", self.home / f"{name}.key")
        return context


KEY = "ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


def authority(home: Path) -> Authority:
    """A new authority."""
    _openssl(home, f"req -x509 -newkey {KEY} -keyout ca.key -out ca.pem -days 2 -subj /CN=ours")
    return Authority(home)


def _openssl(home: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=home, check=True, capture_output=True)
