"""How to get into a cluster, for aiokafka: read from the librdkafka properties that all other clients are given."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from headrace.errors import ConfigurationError

SASL = {"sasl.username": "sasl_plain_username", "sasl.password": "sasl_plain_password"}
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
NAMES = {"client.id": "client_id"}
KNOWN = {
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
    *SASL,
    *NAMES,
}
GUARDED = ("security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https.")
"""Properties of which none may be passed over; the others make clients faster or slower."""


def options(properties: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of an aiokafka client.

    Raises:
        ConfigurationError: a property on getting in that aiokafka has no counterpart of, or a file that cannot be read.

    >>> options({"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN", "sasl.username": "a"})
    {'security_protocol': 'SASL_PLAINTEXT', 'sasl_mechanism': 'PLAIN', 'sasl_plain_username': 'a'}
    """
    for name in properties:
        if name.startswith(GUARDED) and name not in KNOWN:
            known = ", ".join(sorted(KNOWN))
            raise ConfigurationError(f"HEADRACE_KAFKA: {name} is not known to retrain's client, which knows {known}")
    protocol = properties.get("security.protocol", "plaintext").upper()
    found: dict[str, Any] = {"security_protocol": protocol}
    if protocol.startswith("SASL"):
        mechanism = properties.get("sasl.mechanism", properties.get("sasl.mechanisms", "PLAIN"))
        if mechanism not in MECHANISMS:
            raise ConfigurationError(
                f"HEADRACE_KAFKA: sasl.mechanism {mechanism} is not one of retrain's: {', '.join(MECHANISMS)}"
            )
        found["sasl_mechanism"] = mechanism
    given = {**SASL, **NAMES}
    found |= {given[name]: value for name, value in properties.items() if name in given}
    if protocol.endswith("SSL"):
        found["ssl_context"] = _context(properties)
    return found


def passed_over(properties: Mapping[str, str]) -> list[str]:
    """Properties that have no say in this service's consumer."""
    return sorted(set(properties) - KNOWN)


def _context(properties: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(
            cafile=properties.get("ssl.ca.location"), cadata=properties.get("ssl.ca.pem")
        )
        if "ssl.certificate.location" in properties:
            key = properties.get("ssl.key.location")
            context.load_cert_chain(properties["ssl.certificate.location"], key, properties.get("ssl.key.password"))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"HEADRACE_KAFKA: the certificates cannot be used: {error}") from None
    verified = properties.get("enable.ssl.certificate.verification", "true").lower() != "false"
    named = properties.get("ssl.endpoint.identification.algorithm", "https").lower() == "https"
    context.check_hostname = verified and named
    context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    return context
