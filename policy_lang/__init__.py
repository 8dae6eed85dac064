"""The Portcullis policy language: text to tree to types to IR to verdicts.

Pure: no I/O, no clock, no randomness; nothing here knows that `pdp` exists.
"""
