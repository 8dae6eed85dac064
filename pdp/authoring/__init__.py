"""Starting a policy from what people have: a new folder, an OpenAPI document, protobuf descriptors.

Documents of strangers come in; policy text goes out, in which every endpoint is `closed` until a person writes a rule.
Nothing here is used by the running service.
Design: language.md 2 and 4.4; contracts.md "Bundles", "Command line".
"""
