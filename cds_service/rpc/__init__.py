"""The gRPC door: thin, wire to domain and back, nothing clinical."""
