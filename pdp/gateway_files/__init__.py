"""Ready configurations of gateways: one pure function a gateway, from one frozen value to the text of its files.

`setting` has the value, `files` the table of gateways. Nothing here listens, and nothing that serves imports it.
"""
