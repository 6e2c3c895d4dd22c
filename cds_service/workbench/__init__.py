"""The workbench: a page at ``/`` of the HTTP door that shows what the service says of a bundle, and why.

Static files and four thin routes over the same evaluator as the doors; nothing clinical here, and nothing kept.
"""

from cds_service.workbench.routes import is_on, routes

__all__ = ["is_on", "routes"]
