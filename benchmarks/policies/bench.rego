# Ownership and roles over many endpoints, in the input of OPA's Envoy plugin. Each rule asks first for its endpoint by
# an equality that OPA indexes. Claims stand in headers, as a gateway leaves them that has verified the token.
package bench

default allow := false

http := input.attributes.request.http

accounts := split(http.headers["x-accounts"], ",")

roles := split(http.headers["x-roles"], ",")

called if {
	http.method == "GET"
	count(input.parsed_path) == 3
	input.parsed_path[0] == "accounts"
}

# each endpoint
allow if {
	input.parsed_path[2] == "r$number"
	called
	input.parsed_path[1] in accounts
}

allow if {
	input.parsed_path[2] == "r$number"
	called
	"$role" in roles
}

# end
