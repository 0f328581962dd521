"""The HTTP server: one index, searched and reranked by many clients at once.

    app(index, settings)   the ASGI application; run it with uvicorn, or with `vretrver serve INDEX`
    Settings               what it allows, and how much of everything

A request comes in through `auth` (who may ask) and `bodies` (how much may come), is read by `schemas` and `images`,
waits in `jobs`, is answered by `searching`, and leaves by `routes`. `collection` is the index while it changes. What
ranks and retrieves is the library's; nothing here does.
"""

from vretrver.server.factory import app
from vretrver.server.settings import Settings

__all__ = ["Settings", "app"]
