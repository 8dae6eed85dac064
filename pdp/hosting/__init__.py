"""The service inside Envoy's own HTTP stack, through `pyvoy`: the configuration, the process, what it loads."""
