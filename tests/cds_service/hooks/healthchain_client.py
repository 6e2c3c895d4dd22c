"""Run by a Python that has HealthChain: its SandboxClient, an EHR mock written by others, against an address, unchanged.

``healthchain_client.py ADDRESS HOOK FILE [PATIENT]``: FILE holds a prefetch. HealthChain makes up a patient, unless one is given.
Prints what it sent and what it got as JSON.
"""

import json
import sys

from healthchain.sandbox import SandboxClient
from healthchain.sandbox.requestconstructors import CdsRequestConstructor
from healthchain.sandbox.workflows import Workflow

address, hook, file, *patient = sys.argv[1:]
client = SandboxClient(url=address, workflow=hook)
if patient:
    with open(file) as opened:
        data = json.load(opened)
    context = {"userId": "Practitioner/1", "patientId": patient[0], "encounterId": "e1"}
    client.requests.append(CdsRequestConstructor().construct_request(data, Workflow(hook), context))
else:
    client.load_from_path(file)
print(json.dumps({"sent": client.get_request_data("dict"), "got": client.send_requests()}, default=str))
