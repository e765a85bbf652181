"""The head of a page of studies/results: what it is called, and the command that printed it."""

import sys


def head(name):
    print(f"# {name}\n\n`{' '.join(['python', *sys.argv])}`")
