"""Portcullis, the policy decision point: the service around `policy_lang`."""

__version__ = "0.1.0"
