"""Casbin models and policies: the text of a `model.conf` and of a policy to `ir.tables.Table`.

`conf` reads lines, and `entries` tells which of them define something; `matcher_tokens` and `matcher_text` read
matchers; `definitions` gives the model, `matcher` a matcher its meaning over the definitions it is asked with.
Pure: texts in, values and diagnostics out.
"""
