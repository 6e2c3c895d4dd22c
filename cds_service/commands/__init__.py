"""What each `labcue` command does; `cds_service.cli` only parses."""
