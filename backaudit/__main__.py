"""Run ``python -m backaudit``."""

from backaudit.cli.app import main

if __name__ == "__main__":
    main()
