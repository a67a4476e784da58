"""`agentkit tokens`: who else may use the service, and for what."""

from __future__ import annotations

import click

from agentkit.durations import parse
from agentkit.errors import InvalidInput
from agentkit.runtime import SCOPES, Runtime, Tokens


@click.group()
def tokens() -> None:
    """Who else may use the service, and for what.

    The token in ~/.agentkit/service-token may do everything; these may do less.
    """


@tokens.command()
@click.argument("name")
@click.option("-s", "--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES),
              help="read: look at runs; run: begin them, too; inference: ask models.")  # fmt: skip
@click.option("--expires", metavar="DURATION", help="Such as 30d; never, if it is not given.")
def create(name: str, scopes: tuple[str, ...], expires: str | None) -> None:
    """Make a token for NAME.  It is shown once, and kept nowhere."""
    try:
        lasts = None if expires is None else parse(expires)
    except ValueError as error:
        raise InvalidInput(f"--expires {expires}: {error}") from None
    with Runtime() as runtime:
        click.echo(_tokens(runtime).make(name, scopes, lasts))


@tokens.command("list")
def list_tokens() -> None:
    """All tokens, and what they are for."""
    with Runtime() as runtime:
        found = _tokens(runtime).all()
    if not found:
        click.echo("there are none: agentkit tokens create NAME --scope read")
    for token in found:
        until = "never" if token.expires is None else f"{token.expires.astimezone():%Y-%m-%d %H:%M}"
        state = "" if token.valid else "  (expired)"
        click.echo(f"{token.name:<20} {', '.join(token.scopes):<22} expires {until}{state}")


@tokens.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Forget a token: it opens nothing from now on."""
    with Runtime() as runtime:
        _tokens(runtime).revoke(name)
    click.echo(f"revoked {name}")


def _tokens(runtime: Runtime) -> Tokens:
    return Tokens(runtime.settings.home / "tokens.json")
