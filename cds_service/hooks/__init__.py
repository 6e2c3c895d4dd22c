"""The HTTP door: CDS Hooks. Thin: wire to domain and back, nothing clinical."""
