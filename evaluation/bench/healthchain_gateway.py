"""HealthChain's CDS Hooks gateway, to be measured beside ours; run by a Python that has healthchain (0.16.1).

Handlers that do next to nothing: ``dict`` counts the results of the prefetch as plain dicts, ``typed`` reads them by the R4B
models of fhir.resources first.
"""

import logging
import socket

import uvicorn
from fhir.resources.R4B.observation import Observation
from healthchain.gateway import CDSHooksService, HealthChainAPI
from healthchain.models import Card, CDSResponse

logging.disable(logging.CRITICAL)
service = CDSHooksService()


def answered(count):
    """One card that says how many results there were."""
    card = Card(summary=f"{count} results", indicator="info", source={"label": "bench"}, detail="")
    return CDSResponse(cards=[card])


def resources(request):
    """The Observations of the prefetch."""
    entries = (request.prefetch or {}).get("results", {}).get("entry", [])
    return [one["resource"] for one in entries if one["resource"]["resourceType"] == "Observation"]


@service.hook("patient-view", id="dict")
def plain(request):
    """Plain dicts."""
    return answered(sum("valueQuantity" in one for one in resources(request)))


@service.hook("encounter-discharge", id="typed")
def typed(request):
    """fhir.resources' models."""
    found = [Observation.model_validate(one) for one in resources(request)]
    return answered(sum(one.valueQuantity is not None for one in found))


app = HealthChainAPI()
app.register_service(service)

if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    print(f"serving http://127.0.0.1:{port}", flush=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical", access_log=False)
