"""The only socket code on the data path: listeners, TLS, the session driver."""
