"""A sign that work goes on, where nobody can say how far it is.

It shows on a terminal alone, and only once the work takes longer than a moment.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

SHOW_AFTER_S = 1.0


@contextmanager
def working(text: str, after_s: float = SHOW_AFTER_S) -> Iterator[None]:
    """Show `text` on standard error while the block runs, from `after_s` seconds on, and take it away at its end."""
    if not sys.stderr.isatty():
        yield
        return
    status = Console(stderr=True).status(Text(text))
    timer = threading.Timer(after_s, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()
