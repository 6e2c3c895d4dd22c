"""Who calls, whether it may, and how often: the same for both doors. Knows neither gRPC nor HTTP servers."""
