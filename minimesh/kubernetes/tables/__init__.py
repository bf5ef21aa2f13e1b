"""What `kubectl get` prints: `tables` of objects, their columns (`printers`), points in time as `ages`."""
