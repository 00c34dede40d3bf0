"""The leak oracle: classified columns hold canaries, and every byte that a client got is searched for them."""
