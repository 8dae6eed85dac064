"""From a folder of policy files to the engine that decides, and the swap from one engine to the next."""
