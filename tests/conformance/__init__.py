"""The same bytes to the real Envoy and to minimesh, started from the same file; the answers are compared."""
