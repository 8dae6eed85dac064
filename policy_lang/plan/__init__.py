"""Compiled plans: the second evaluator, equal to `reference` on every verdict and thousands of times as fast.

A program goes in; `Plans` comes out, which answers the questions that `reference` answers, without a trace. What is
static was folded into cells when the policy was compiled; here a cell's rules get an index (`index`) and each shape of
guard one function (`shapes`), so that a decision costs what its few candidates cost.
Source: language.md 6.1 to 6.3.
"""
