"""`python -m evomerge.cli`."""

from evomerge.cli.app import main

if __name__ == "__main__":
    main()
