"""The Portcullis policy language: text to tree to types to IR to verdicts.

The way of a policy: `syntax` reads text into a `tree`; `declared` says what modules declare and what names mean;
`checking` types the rules and lowers them, `trials` the tests, to `ir`; `compile` runs these in order. The way of a
question: `meaning` answers it by definition (`reference`), `plan` answers the same quickly; both give a `verdict`.
Mistakes met on the way are `mistakes`, shown by `diagnostics`.
Pure: no I/O, no clock, no randomness; nothing here knows that `pdp` exists.
"""
