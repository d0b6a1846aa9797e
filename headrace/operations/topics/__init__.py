"""Topics as people use them: lag, tail, publish, import, provisioning."""
