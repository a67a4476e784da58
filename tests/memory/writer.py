"""A process that saves notes: python -m tests.memory.writer FOLDER NAME COUNT."""

from __future__ import annotations

import sys
from pathlib import Path

from agentkit.memory import Collection
from tests.memory.tiny import tiny


def main(folder: Path, name: str, count: int) -> None:
    """Save, and look now and then whether it is found."""
    embedding = tiny()
    collection = Collection(folder, "notes", lambda: embedding, few=20)
    for number in range(count):
        text = f"writer {name} says w{name}{number}"
        key = collection.save(text, source=name)
        collection.save("Said by all" if number % 2 else "said  by all", source=name)
        assert collection.search(text, limit=1)[0].id == key
    collection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
