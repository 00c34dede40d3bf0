"""The one pipeline every command takes, and the ports it needs."""
