"""The command line: ``millrace pose``, ``run``, ``env``, ``demo``, ``samples`` and ``doctor``."""
