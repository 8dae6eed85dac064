"""SIGKILL of the whole service under load: what a client was told is in the log, and the log verifies.

A few kills, since each start costs more than a second; of its writer alone there are fifty, in
tests/service/test_writer_kills.py, and both go on in the nightly runs (tests/nightly/test_kills.py).
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.killed_server import KilledServer

KILLS = 3


@pytest.mark.timeout(300)
def test_every_id_that_a_client_received_is_in_the_log_after_kills_of_the_service(tmp_path: Path) -> None:
    moments = random.Random(20261121)
    server = KilledServer(tmp_path)
    try:
        for _ in range(KILLS):
            server.kill_after(moments.uniform(0.1, 0.8))
        server.finish()
    finally:
        server.end()
    assert len(server.told) > KILLS, "the load never ran"
    print(f"ready after {', '.join(f'{seconds:.2f} s' for seconds in server.ready_s)}")
