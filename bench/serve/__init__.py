"""The service under load, and beside llama-server."""
