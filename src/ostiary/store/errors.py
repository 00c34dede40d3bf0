"""How the store fails."""


class StoreError(RuntimeError):
    """The store could not be opened, read or written. The sentence holds no password and no stored value."""
