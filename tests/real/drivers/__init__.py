"""One script a client library: what it prints directly and through the gateway must be equal."""
