"""Benchmarks: the gateway against PgBouncer and against nothing in between, in one run on one machine."""
