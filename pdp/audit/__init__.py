"""The decision log: what is written, how it becomes one tree, and how anybody checks it.

Writing half: `ids keys leaf box frame files boot wal writer`. Reading half: `merkle tiles checkpoint sequencer verify
reader`. The two meet in `frame` (the write-ahead log) and `leaf` (one record), and nowhere else.
"""
