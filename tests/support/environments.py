"""A policy of two environments, whose one service has another host in each."""

from __future__ import annotations

SETTINGS = {
    "a.pol": b"""module a
setting place: string
service s {
  audience none
  host place
  endpoint ping GET /ping
}
allow anyone_pings
  for anyone
  on s.ping
  because "ping"
""",
    "settings/prod.toml": b'place = "s.example"\n',
    "settings/test.toml": b'place = "t.example"\n',
}
