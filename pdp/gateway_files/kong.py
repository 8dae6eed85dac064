"""The configuration of Kong (3.0 or newer), declarative: a function of the plugin `pre-function` asks.

In: a `Setting`. Out: `kong.yml`. What it sets, by Kong's documentation (gateways.md 3); no Kong is run in the tests:

- The function stands before every other plugin. A fault in it ends the call by 500: no check, no passage.
- Kong routes by, and sends on, a normalised path. Where that is not the path as it was received the call is refused
  (400), so that what is decided is what is sent.
- The client's headers of `from_answer`, every `x-portcullis-*`, every header with an underscore and those of
  `SAYING_MORE` are taken away; then those of the answer are set. The check sees what the client sent of them, names of
  ours and those with an underscore apart.
- More headers than are read end in 431: a header beyond would be one that nobody decided about.
"""

from __future__ import annotations

from pdp.authoring.model import AuthoringError
from pdp.gateway_files.setting import SAYING_MORE, Behind, Setting, Tcp, Way


def kong_yml(setting: Setting) -> str:
    """The text of `kong.yml`. Errors: AuthoringError I315 the way is TLS or a Unix socket."""
    lines = [
        "# Written by `pdp new --gateway kong`; see docs/gateways.md.",
        "# In kong.conf: untrusted_lua_sandbox_requires = resty.http, and trusted_ips empty.",
        '_format_version: "3.0"',
        "services:",
    ]
    for each in setting.behind:
        lines += _service(setting, each)
    return "\n".join(lines) + "\n"


def _service(setting: Setting, behind: Behind) -> list[str]:
    function = _FUNCTION
    for sign, text in {
        "@URL@": f"http://{_target(setting.way)}/forward-auth/{behind.service}",
        "@NAMES@": ", ".join(f'"{name}"' for name in setting.from_answer),
        "@DROPPED@": ", ".join(f'"{name}"' for name in SAYING_MORE),
    }.items():
        function = function.replace(sign, text)
    return [
        f'  - name: "{behind.service}"',
        f"    url: http://{behind.upstream.text}",
        "    routes:",
        f'      - name: "{behind.service}"',
        f"        hosts: [{', '.join(behind.hosts)}]",
        "        paths: [/]",
        "        protocols: [http, https]",
        "        strip_path: false",
        "        preserve_host: true",
        "    plugins:",
        "      - name: pre-function",
        "        config:",
        "          access:",
        "            - |",
        *(f"              {line}" if line else "" for line in function.splitlines()),
    ]


_FUNCTION = """\
local http = require "resty.http"
local from_answer = { @NAMES@ }
local dropped = { @DROPPED@ }
local path, query = kong.request.get_raw_path(), kong.request.get_raw_query()
if path ~= kong.request.get_path() then
  return kong.response.exit(400, { title = "the path is not in its normal form" })
end
local received, more = kong.request.get_headers(200)
if more then
  return kong.response.exit(431, { title = "too many headers" })
end
local headers = {}
for name, value in pairs(received) do
  local lower = name:lower()
  if lower:find("_", 1, true) or lower:sub(1, 13) == "x-portcullis-" then
    kong.service.request.clear_header(name)
  elseif lower:sub(1, 12) ~= "x-forwarded-" and lower ~= "host" and lower ~= "connection"
      and lower ~= "content-length" and lower ~= "transfer-encoding" and lower ~= "upgrade" and lower ~= "te" then
    headers[name] = value
  end
end
headers["X-Forwarded-Method"] = kong.request.get_method()
headers["X-Forwarded-Uri"] = query ~= "" and path .. "?" .. query or path
headers["X-Forwarded-Host"] = kong.request.get_host()
headers["X-Forwarded-Proto"] = kong.request.get_scheme()
headers["X-Forwarded-For"] = kong.client.get_ip()
local client = http.new()
client:set_timeouts(1000, 1000, 2000)
local answer = client:request_uri("@URL@", { method = "GET", headers = headers })
if not answer then
  return kong.response.exit(503, { title = "no decision can be given now" })
end
if answer.status ~= 200 then
  return kong.response.exit(answer.status >= 400 and answer.status or 503, answer.body, {
    ["Content-Type"] = answer.headers["Content-Type"],
    ["WWW-Authenticate"] = answer.headers["WWW-Authenticate"],
    ["Retry-After"] = answer.headers["Retry-After"],
    ["X-Portcullis-Decision"] = answer.headers["X-Portcullis-Decision"],
  })
end
for _, name in ipairs(dropped) do
  kong.service.request.clear_header(name)
end
for _, name in ipairs(from_answer) do
  kong.service.request.clear_header(name)
  if answer.headers[name] then
    kong.service.request.set_header(name, answer.headers[name])
  end
end
"""


def _target(way: Way) -> str:
    if not isinstance(way, Tcp):
        raise AuthoringError("I315", "the function for Kong asks a port of this host alone: name one")
    return way.text
