"""What every stand-in of a service needs: its folder, how it is told to behave, and how it answers."""

import json
import os
import sys
from pathlib import Path

STUB = Path(os.environ["STUB"])
SETTINGS = json.loads((STUB / "settings.json").read_text())


def refuse(code, message):
    sys.stderr.write(f"\nAn error occurred ({code}) when calling the operation: {message}\n")
    sys.exit(254)


def count(name):
    path = STUB / "counts" / name
    path.parent.mkdir(exist_ok=True)
    number = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(number))
    return number


def text(rows):
    """As `--output text`: columns by tab, nothing as None."""
    lines = ["\t".join("None" if cell is None else str(cell) for cell in row) for row in rows]
    print("\n".join(lines) if lines else "None")
