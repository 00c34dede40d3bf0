"""AWS: a signed `GetCallerIdentity` request as the proof of who is calling.

Reconstructed, never replayed: of the proof only the signature and what was signed is used, and only where it is what
it must be. Method, host, path and body are ours. That is what CVE-2020-16250 teaches: whoever sends a stranger's
request to STS gets the answer that the stranger has chosen.
"""
