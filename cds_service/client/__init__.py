"""Clients of the gRPC door, sync and async: a deadline on every single call, retries inside it, typed errors.

    with LabCueClient("127.0.0.1:50051") as client:
        response = client.evaluate(bundle_bytes, language="fr", timeout=2.0)

Where the service asks who calls, give ``token``: what it returns goes with each try of each call as a bearer token.
``cds_service.trust.signing.Signer`` signs such tokens.

Errors are those of ``fhir_adapter.errors``, rebuilt from the status: ``except InvalidInput as error: error.violations``.
"""

from cds_service.client.asynchronous import AsyncLabCueClient
from cds_service.client.blocking import LabCueClient
from cds_service.client.caller import Bundle, Tls, Token
from cds_service.client.errors import typed
from cds_service.client.retry import Retry

__all__ = ["AsyncLabCueClient", "Bundle", "LabCueClient", "Retry", "Tls", "Token", "typed"]
