"""Ostiary: an identity-aware Layer-7 gateway."""

__version__ = "0.1.0"
