"""A real broker that lets in only who knows a password, over TLS: what a cluster of a company is like."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from headrace.devparts import process
from headrace.devparts.kafka import Kafka

USER, PASSWORD = "alice", "pass/wörd"
STORE = "changeit"


class Secured:
    """A broker with one listener for clients (SASL_SSL) beside the one by which the tests see it start.

    Args:
        directory: takes the broker and its certificate, signed by itself.
    """

    def __init__(self, directory: Path) -> None:
        self.certificate = directory / "broker.pem"
        keys = directory / "broker.p12"
        about = ["-alias", "broker", "-keystore", str(keys), "-storepass", STORE]
        name = ["-dname", "CN=127.0.0.1", "-ext", "SAN=ip:127.0.0.1"]
        subprocess.run(
            [_keytool(), "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", *about, *name],
            check=True,
            capture_output=True,
        )
        export = [_keytool(), "-exportcert", "-rfc", "-file", str(self.certificate), *about]
        subprocess.run(export, check=True, capture_output=True)
        self.broker = Kafka(directory, brief=True, heap="512m", with_parent=True)
        (self.port,) = process.free_ports(1)
        clients, controllers = self.broker.ports
        ours = f"PLAINTEXT://127.0.0.1:{clients},SASL_SSL://127.0.0.1:{self.port}"
        self.broker.overrides = {
            "listeners": f"{ours},CONTROLLER://127.0.0.1:{controllers}",
            "advertised.listeners": ours,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
            "sasl.enabled.mechanisms": "PLAIN",
            "ssl.keystore.location": str(keys),
            "ssl.keystore.password": STORE,
            "ssl.keystore.type": "PKCS12",
        }
        self.know(PASSWORD)

    @property
    def address(self) -> str:
        """Of the listener that asks for a password."""
        return f"127.0.0.1:{self.port}"

    def know(self, password: str) -> None:
        """The password of the one user, from the next start on."""
        module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        self.broker.overrides["listener.name.sasl_ssl.plain.sasl.jaas.config"] = f'{module} user_{USER}="{password}";'

    def properties(self, password: str = PASSWORD) -> dict[str, str]:
        """What a client must say."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": USER,
            "sasl.password": password,
            "ssl.ca.location": str(self.certificate),
        }

    def environment(self, password: str = PASSWORD) -> dict[str, str]:
        """The same, for headrace."""
        return {"HEADRACE_BOOTSTRAP": self.address, "HEADRACE_KAFKA": json.dumps(self.properties(password))}


def _keytool() -> str:
    found = shutil.which("keytool")
    assert found is not None, "a JDK brings it"
    return found
