"""The bearer token of the MCP server over HTTP: one secret, asked for by the SDK's middleware; there is no OAuth."""

from __future__ import annotations

import hmac
import re

from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from pydantic import AnyHttpUrl

from vretrver.errors import InvalidInput

_SHORTEST = 16


class OneToken:
    """Verifies the one token that there is.

    Raises:
        InvalidInput: it is too short to be a secret, or has blanks.
    """

    def __init__(self, token: str) -> None:
        if not re.fullmatch(rf"[\x21-\x7e]{{{_SHORTEST},512}}", token):
            raise InvalidInput(
                f"the token needs {_SHORTEST} to 512 printable characters without blanks; make one with: "
                'python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        self._token = token.encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        """Who the token lets in; None for any other token. Takes the same time for all of them."""
        if not hmac.compare_digest(token.encode(), self._token):
            return None
        return AccessToken(token=token, client_id="vretrver", scopes=[])


def settings() -> AuthSettings:
    """The SDK asks who issues tokens; nobody does, and no metadata of an issuer is published."""
    return AuthSettings(
        issuer_url=AnyHttpUrl("http://127.0.0.1/"), resource_server_url=None, validate_token_resource=False
    )
