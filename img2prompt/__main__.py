"""python -m img2prompt: the command line."""

from img2prompt.cli.main import main

if __name__ == "__main__":
    main()
