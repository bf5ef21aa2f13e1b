"""How a command says no."""

from __future__ import annotations

import click


class Refusal(click.ClickException):
    """A reason in one line, and what to do about it."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(f"{reason}. {remedy}" if remedy else reason)

    def show(self, file: object = None) -> None:
        click.echo(f"minimesh: {self.message}", err=True)
