"""The demo of `make serve`: this service behind a real Envoy, with an issuer, an upstream and lines to try.

Nothing here is part of the service; nothing in the service imports it. Everything listens on 127.0.0.1 alone.
"""
