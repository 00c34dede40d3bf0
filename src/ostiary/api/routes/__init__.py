"""One router for each kind of resource. Each handler turns a request into one call of a use-case, and back."""
