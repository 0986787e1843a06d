"""The command line: ``img2prompt``, or ``python -m img2prompt``."""

import sys


def main() -> None:
    """Run a command and exit with its code; Ctrl-C has its word also before the command has begun."""
    try:
        from img2prompt.cli.main import main

        main()
    except KeyboardInterrupt:
        print("img2prompt: stopped.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
