"""The command line `roadscribe`."""


def main() -> None:
    """Run the command line; imports come later, so that a mistyped command fails at once."""
    from service.cli.app import main as run

    run()
