"""Damaged files of every kind that the program reads, by the million.

    python -m tests.fuzz pictures archives journals banks --count 300000     (Linux and macOS)

Each file is made of a small sound one and a number, so that a number is all that is needed to make it
again. It is opened in a process of its own, a worker, which notes the number before it tries:
if the worker dies, hangs, takes too much memory or lets an error out that is not one of
`img2prompt.errors`, the supervisor knows which file did it, prints the command that repeats it, and
goes on behind it with a new worker.
"""
