"""SAML 2.0 bearer assertions to principals, by a profile of our own that is stricter than the standard's.

`document` bounds and reads the XML, `metadata` holds the only certificates that count, `signature` gives back what was
signed and nothing else, `rules` judges what it says, `service` does these in order. Needs the extra `saml`.
"""
