"""Signing a person in at the gateway's login page: `ways` says what every way through another identity provider has."""
