"""What operators see: health, readiness, metrics and status over HTTP."""
