"""Bytes without I/O: the contract between a protocol engine and whoever drives it."""
