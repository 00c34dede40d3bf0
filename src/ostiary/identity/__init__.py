"""Tokens to principals. Services of the gate's `Identity` port; see docs/identity.md."""
