"""`python -m qexplore`: the command line."""

from qexplore.cli import entry

if __name__ == "__main__":
    entry()
