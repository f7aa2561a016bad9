"""Options that are read without pydantic, for commands that answer before a person has let go of the key."""

from typing import Any

from typer.core import TyperCommand, TyperGroup


class LightCommand(TyperCommand):
    """A command whose options are text and switches."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, `--help` among them."""
        return leave_as_typed(super().get_params(ctx))


class LightGroup(TyperGroup):
    """Commands under one name, whose own options are switches."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, `--help` among them."""
        return leave_as_typed(super().get_params(ctx))


def leave_as_typed(options: list[Any]) -> list[Any]:
    """Take options, which must be text or switches, as they were typed.

    To turn a value into anything but a switch typer loads pydantic, which takes longer than all the rest of a
    small command. Text needs no turning.
    """
    for option in options:
        # Made on first use where it is missing. A typer that knows nothing of it loads what it likes.
        option._runtime_param = _AsTyped()  # noqa: SLF001  # typer has no other way to say so
    return options


class _AsTyped:
    """Stands in for what typer turns values with."""

    def coerce(self, value: object, **_: object) -> object:
        return value
