"""The composition root: the only place that knows every room. Settings in, a running gateway (or use-cases) out.

`operations` makes the use-cases and imports what they stand on when it is needed: a command must not take longer to
start than to run. `check` looks at what a configuration points at, `serve` runs the gateway.
"""
