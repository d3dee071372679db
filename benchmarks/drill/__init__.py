"""What the benchmarks of the running nodes share: cameras with troubles, a listener, checks."""
