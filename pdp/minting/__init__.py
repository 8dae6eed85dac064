"""Tokens made here: one service, one scope set, one minute, and nothing of the caller but a pairwise name.

`keys` says when a key is published, signs and goes; `key_store` keeps them on the disk; `pairwise` names a subject for
one service; `minter` makes the tokens and hands them out again while half their life is ahead.
"""
