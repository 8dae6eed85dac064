"""The configuration of HAProxy (2.6 or newer): an action in Lua asks, with `core.httpclient`.

In: a `Setting`. Out: `haproxy.cfg` and `portcullis.lua`. What they guarantee (gateways.md 3):

- Only the action can say that a call passes, and it does so last: `http-request deny` stands behind it for every call
  it has not passed. A fault in Lua lets the call go on to the next rule (HAProxy logs it and continues), so that
  without that line a fault would be an allow.
- What is decided is what is sent: the request line is set to the path and query that the service is asked about, in
  origin form. CONNECT and `*` are refused before.
- The client's headers of `from_answer`, every `x-portcullis-*`, every header with an underscore and those of
  `SAYING_MORE` are taken away; then those of the answer are set, each once. Those of `from_answer` go behind the
  check, which sees what the client sent.
- The service of a call stands in the URL that is asked; the host picks it. A host of no service is asked about as
  well, so that it is on record, and is never passed.
- A refusal goes to the client as it is, body and challenge included; a service that is down or late is 503.
"""

from __future__ import annotations

from pdp.authoring.model import AuthoringError
from pdp.gateway_files.setting import NOBODY, OURS, SAYING_MORE, Mutual, Setting, Tcp, Unix, Way


def haproxy_files(setting: Setting, folder: str) -> dict[str, str]:
    """The files by name; `folder` is where they will stand. Errors: AuthoringError I315 the way is TLS."""
    return {"haproxy.cfg": "\n".join(_config(setting, folder)) + "\n", "portcullis.lua": _lua(setting)}


_LOG = (
    '  log-format \'{"at":"%T","host":"%[var(txn.portcullis_host),json]","status":"%ST",'
    '"decision":"%[var(txn.portcullis_decision),json]"}\''
)


def _config(setting: Setting, folder: str) -> list[str]:
    lines = [
        "# HAProxy asks Portcullis about every call. Written by `pdp new --gateway haproxy`; see docs/gateways.md.",
        "global",
        f"  lua-load {folder}/portcullis.lua",
        "  log stdout format raw local0 info",
        "",
        "defaults",
        "  mode http",
        "  log global",
        "  timeout connect 1s",
        "  timeout client 30s",
        "  timeout server 30s",
        "  timeout http-request 10s",
        "",
        "frontend edge",
        f"  bind {setting.listen.text}",
        "  # The decision id is in the log, so that the log of decisions can be held against it. No path, no address.",
        _LOG,
        "",
        "  # One host, as it stands in the policy: folded, without port and final dot.",
        "  http-request deny deny_status 400 if { req.hdr_cnt(host) gt 1 }",
        "  http-request set-var(txn.portcullis_host) req.hdr(host),lower,regsub(:[0-9]*$,),regsub([.]$,)",
        f"  http-request set-var(txn.portcullis_service) str({NOBODY})",
    ]
    for each in setting.behind:
        hosts = " ".join(each.hosts)
        lines.append(
            f"  http-request set-var(txn.portcullis_service) str({each.service}) "
            f"if {{ var(txn.portcullis_host) -m str {hosts} }}"
        )
    lines += [
        "",
        "  # The target in origin form, as it came: what is asked about is what is sent.",
        "  http-request deny deny_status 400 unless { path_beg / } !{ method CONNECT }",
        "  http-request set-uri %[pathq]",
        "",
        "  # What a client sends of these never passes. Those that the answer sets are taken away in Lua.",
        f"  http-request del-header {OURS} -m beg",
        "  http-request del-header _ -m sub",
        *(f"  http-request del-header {name}" for name in SAYING_MORE),
        "  # Nothing is upgraded, and nobody names in `Connection` a header that the answer sets.",
        "  http-request del-header upgrade",
        "  http-request del-header connection",
        "  http-request set-header host %[var(txn.portcullis_host)]",
        "  http-request set-header x-forwarded-for %[src]",
        "  http-request set-header x-forwarded-proto %[ssl_fc,iif(https,http)]",
        "",
        "  http-request lua.portcullis",
        "  # SECURITY: keep this line. A fault in Lua goes on to the next rule; only the action says `pass`.",
        "  http-request deny deny_status 503 unless { var(txn.portcullis) -m str pass }",
        "  # A host of no service is on record by now, and is never passed on.",
        f"  http-request deny deny_status 404 if {{ var(txn.portcullis_service) -m str -- {NOBODY} }}",
        "",
    ]
    for each in setting.behind:
        lines.append(f"  use_backend to_{each.service} if {{ var(txn.portcullis_service) -m str {each.service} }}")
    for each in setting.behind:
        lines += ["", f"backend to_{each.service}", f"  server upstream {each.upstream.text}"]
    return lines


def _lua(setting: Setting) -> str:
    names = ", ".join(f'"{name}"' for name in setting.from_answer)
    return _LUA.replace("@URL@", _url(setting.way)).replace("@DST@", _dst(setting.way)).replace("@NAMES@", names)


def _url(way: Way) -> str:
    return f"http://{way.text}" if isinstance(way, Tcp) else "http://portcullis"


def _dst(way: Way) -> str:
    match way:
        case Tcp():
            return "nil"
        case Unix(path):
            return f'"unix@{path}"'
        case Mutual():
            why = "HAProxy's Lua client shows no certificate: name a port of this host, or a Unix socket"
            raise AuthoringError("I315", why)


_LUA = """\
-- Asks Portcullis about a call. Written by `pdp new --gateway haproxy`; see docs/gateways.md.
-- The call passes only where the last line of `ask` is reached.

local base, socket = "@URL@", @DST@
local from_answer = { @NAMES@ }

-- What a client says of its own connection, and what the gateway says of the call.
local not_the_clients = {
  ["connection"] = true, ["content-length"] = true, ["host"] = true, ["keep-alive"] = true,
  ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true, ["transfer-encoding"] = true,
  ["upgrade"] = true, ["expect"] = true,
}
local for_the_client = { "content-type", "www-authenticate", "retry-after", "x-portcullis-decision" }

local function refuse(txn, status, headers, body)
  local reply = txn:reply()
  reply:set_status(status)
  for _, name in ipairs(for_the_client) do
    local values = headers[name]
    if values then
      for _, value in pairs(values) do reply:add_header(name, value) end
    end
  end
  reply:set_body(body)
  txn:done(reply)
end

local function ask(txn)
  local headers = {}
  for name, values in pairs(txn.http:req_get_headers()) do
    if not not_the_clients[name] and name:sub(1, 12) ~= "x-forwarded-" then
      local kept = {}
      for index = 0, #values do kept[#kept + 1] = values[index] end
      headers[name] = kept
    end
  end
  headers["x-forwarded-method"] = { txn.f:method() }
  headers["x-forwarded-uri"] = { txn.f:pathq() }
  headers["x-forwarded-host"] = { txn:get_var("txn.portcullis_host") }
  headers["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
  headers["x-forwarded-for"] = { txn.f:src() }

  local service = txn:get_var("txn.portcullis_service")
  local answer = core.httpclient():get{
    url = base .. "/forward-auth/" .. service, headers = headers, timeout = 2000, dst = socket
  }
  if not answer or not answer.status or answer.status == 0 then
    return refuse(txn, 503, {}, "")
  end
  if answer.status ~= 200 then
    local status = answer.status >= 400 and answer.status or 503
    return refuse(txn, status, answer.headers or {}, answer.body or "")
  end
  for _, name in ipairs(from_answer) do
    local values = (answer.headers or {})[name]
    txn.http:req_del_header(name)
    if values and values[0] then txn.http:req_set_header(name, values[0]) end
  end
  local decision = (answer.headers or {})["x-portcullis-decision"]
  txn:set_var("txn.portcullis_decision", decision and decision[0] or "")
  txn:set_var("txn.portcullis", "pass")
end

core.register_action("portcullis", { "http-req" }, ask, 0)
"""
