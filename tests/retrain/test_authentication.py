"""The properties that all clients are given, as aiokafka takes them."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from headrace.errors import ConfigurationError
from services.retrain.authentication import options, passed_over


def test_passwords_and_certificates_are_carried_over(tmp_path: Path) -> None:
    """SASL over TLS, with names checked unless it is said otherwise."""
    given = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "a",
        "sasl.password": "b",
        "compression.type": "zstd",
    }
    found = options(given)
    context = found.pop("ssl_context")
    assert found == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "a",
        "sasl_plain_password": "b",
    }
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert passed_over(given) == ["compression.type"]
    unnamed = options(given | {"ssl.endpoint.identification.algorithm": "none"})["ssl_context"]
    assert (unnamed.check_hostname, unnamed.verify_mode) == (False, ssl.CERT_REQUIRED)
    trusting = options(given | {"enable.ssl.certificate.verification": "false"})["ssl_context"]
    assert (trusting.check_hostname, trusting.verify_mode) == (False, ssl.CERT_NONE)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sasl.kerberos.principal": "x"}, "sasl.kerberos.principal is not known to retrain's client"),
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER"}, "OAUTHBEARER is not one of"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/nowhere"}, "the certificates cannot be used"),
    ],
)
def test_what_cannot_be_carried_over_is_refused(given: dict[str, str], told: str) -> None:
    """Nothing that a cluster asks for is passed over in silence."""
    with pytest.raises(ConfigurationError, match=told):
        options(given)
