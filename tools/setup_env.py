"""Find a Python that is new enough, and hand over to environments.py with it.

In: the arguments of environments.py. Out: this process becomes that one, or one line on stderr and exit code 2.
Kept to the syntax and the library of Python 3.4, because an old interpreter has to read the whole file before it can
say that it is too old: no f-strings, no new annotations, no third-party import.

A command counts as new enough only when it runs and says so: version managers put commands on the path that do not.
"""

import os
import pathlib
import shutil
import subprocess
import sys

NEEDED = (3, 11)
# Oldest-known-good first: the newest interpreter is the one the dependencies may have no binaries for.
CANDIDATES = ("python3.12", "python3.13", "python3.11", "python3.14")
PROBE = "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 1)"


def is_new_enough(command: str) -> bool:
    """Whether `command` starts a Python that is new enough; a command that cannot be run is not."""
    try:
        return subprocess.call([command, "-c", PROBE], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def find_interpreter() -> str:
    """The interpreter to go on with: this one, else the first on the path that is new enough, else an empty string."""
    if sys.version_info[:2] >= NEEDED:
        return sys.executable
    for name in CANDIDATES:
        command = shutil.which(name)
        if command and is_new_enough(command):
            return command
    return ""


def main() -> None:
    """Become environments.py under a Python that is new enough, or end with one line where there is none."""
    interpreter = find_interpreter()
    if not interpreter:
        found = str(sys.version_info[0]) + "." + str(sys.version_info[1])
        sys.stderr.write(
            "setup: Python 3.11 or newer is needed, this is "
            + found
            + " and the path has no newer one: install one, or name it with `make PYTHON=/path/to/python3.11 ...`\n"
        )
        sys.exit(2)
    worker = pathlib.Path(__file__).resolve().parent / "environments.py"
    os.execv(interpreter, [interpreter, str(worker)] + sys.argv[1:])  # noqa: RUF005, S606 - old syntax; no shell wanted


if __name__ == "__main__":
    main()
