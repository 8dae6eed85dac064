"""Casbin models and policies: the text of a `model.conf` and of a policy to `ir.tables.Table`, and to a program.

`conf` reads lines, and `entries` tells which of them define something; `matcher_tokens` and `matcher_text` read
matchers; `definitions` gives the model, `matcher` a matcher its meaning over the definitions it is asked with. `rows`
reads policies, `tables` puts both together, and `program` is what a program that embeds all this asks.
Pure: texts in, values and diagnostics out; only a program reads a clock, the one it is given.
"""

from policy_lang.casbin.program import CasbinProgram, compile_casbin

__all__ = ["CasbinProgram", "compile_casbin"]
