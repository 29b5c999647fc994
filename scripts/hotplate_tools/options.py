"""Command-line options that several commands share."""

from __future__ import annotations

import click

__all__ = ["as_json_option"]

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON document."
)
