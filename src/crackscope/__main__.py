"""``python -m crackscope``: the command line where no script is on the path."""

from crackscope.cli import main

if __name__ == "__main__":
    main()
