"""FHIR in, a normalized laboratory panel out: the ground floor of LabCue.

Pure Python: no torch, no grpc, no OpenTelemetry. The way of a bundle::

    intake = read(bundle_bytes)     # fhir_adapter.read: results + "not assessed" entries
    panel = normalize(intake)       # fhir_adapter.normalize: analyte, unit, interval, age, priors
    prompt = render(panel)          # fhir_adapter.prompt: what the model is shown, with its slots
"""
