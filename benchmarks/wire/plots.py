"""Draws a run: `python -m benchmarks.wire.plots RUN.json FOLDER`, where matplotlib is: in the peers' environment.

One picture of checks a second by contestant and size, one of p99 at the highest rate that was asked for.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt

Series = dict[int, list[float]]
NARROW = 0.8
"""Of the room of one contestant, what its bars take."""


def draw(title: str, names: list[str], series: Series, path: Path, *, logarithmic: bool = False) -> None:
    """Bars side by side, one for each size; what was not measured has none."""
    figure, axes = plt.subplots(figsize=(9, 0.5 * len(names) + 1.5), dpi=100, layout="constrained")
    height = NARROW / len(series)
    for number, (rules, values) in enumerate(series.items()):
        places = [place + number * height for place in range(len(names))]
        axes.barh(places, values, height, label=f"{rules:,} rules")
    axes.set_yticks([place + (NARROW - height) / 2 for place in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_title(title)
    if logarithmic:
        axes.set_xscale("log")
    axes.legend()
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path)
    plt.close(figure)


def main(run: str, folder: str) -> None:
    """Draw both."""
    found: dict[str, Any] = json.loads(Path(run).read_text())
    sizes, rate = found["plan"]["sizes"], max(found["plan"]["rates"])
    names = list(dict.fromkeys(each["title"] for each in found["servers"]))
    speeds: Series = {rules: [0.0] * len(names) for rules in sizes}
    late: Series = {rules: [0.0] * len(names) for rules in sizes}
    for each in found["servers"]:
        place = names.index(each["title"])
        speeds[each["rules"]][place] = median(each["per_second"])
        for paced in each["paced"]:
            if paced["rate"] == rate and paced["is_kept"]:
                late[each["rules"]][place] = paced["p99"]
    draw("checks a second on one core", names, speeds, Path(folder) / "checks.png")
    title = f"p99 at {rate:,} checks a second, ms (no bar: not kept)"
    draw(title, names, late, Path(folder) / "p99.png", logarithmic=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
