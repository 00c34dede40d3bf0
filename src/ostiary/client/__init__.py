"""What runs beside a program, not beside the gateway: its ambient identity, and a local way to a target.

Nothing here reads a gateway's files. It needs the gateway's address, its certificate authority, and an identity.
"""
