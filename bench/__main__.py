"""`python -m bench [ROW ...]`: measures the rows of the reference in alternating rounds."""

import argparse
import importlib
import json
import sys

from bench.stage import Stage
from bench.table import Figure, print_table

ROWS = ("send", "list", "callback", "webhooks", "notify", "console")


def main() -> int:
    """Print one JSON line per measurement and a closing table; the exit code says whether every must holds."""
    options = _options()
    figures: list[Figure] = []
    with Stage() as stage:
        # Only now Django knows its settings, which the rows' imports need.
        rows = importlib.import_module("bench.rows").Rows(
            stage, rounds=options.rounds, seconds=options.seconds, messages=options.messages
        )
        for name in options.rows:
            for figure in getattr(rows, name)():
                figures.append(figure)
                print(json.dumps({"row": name, **figure.as_json()}), flush=True)
    print_table(figures)
    return 0 if all(figure.holds for figure in figures) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement (default 2)")
    parser.add_argument(
        "--messages", type=int, default=1_000_000, help="stored before the console's pages are measured (default 1 M)"
    )
    options = parser.parse_args()
    options.rows = options.rows or list(ROWS)
    return options


if __name__ == "__main__":
    sys.exit(main())
