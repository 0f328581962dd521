"""The routes, one file a kind. Each reads a request, asks one part of the server, and writes the answer."""
