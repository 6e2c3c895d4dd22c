"""``python -m cds_service.cli``: the same as `labcue`."""

from cds_service.cli import main

main()
