"""`biomed-r1 up` and `down`: the embedded servers without a run."""

from __future__ import annotations

import click

from pipelines.local import servers


@click.command("up")
@click.option("--print-env", is_flag=True, help="Print `export` lines for a shell, secrets included.")
def up_command(print_env: bool) -> None:
    """Start the embedded S3 and MLflow servers (on loopback) unless they run or others are configured."""
    result = servers.up()
    for name, value in result.environment.items():
        if print_env:
            click.echo(f"export {name}='{value}'")
        elif "KEY" not in name:
            click.echo(f"{name}={value}")
    click.echo(f"started: {', '.join(result.started) or 'nothing, they were up'}", err=True)


@click.command("down")
def down_command() -> None:
    """Stop the embedded servers; their data stays until `make clean`."""
    click.echo(f"stopped: {', '.join(servers.down()) or 'nothing, none was running'}")
