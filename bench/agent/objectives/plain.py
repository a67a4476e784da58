"""What needs no tool at all, though there are some."""

from __future__ import annotations

from bench.agent.answers import says
from bench.agent.objective import Objective

FAMILY = "plain"
TOOLS = ("list_files", "read_file", "search_files", "write_file", "run_python")

FILES = {"notes.md": "# Notes\n\nMadrid was nice. Milk is in the fridge.\n"}

OBJECTIVES = (
    Objective(
        "plain-capital",
        FAMILY,
        "What is the capital of Portugal?",
        TOOLS,
        check=lambda folder, answer: says(answer, "Lisbon|Lisboa", others=["Madrid", "Porto"]),
        solve=lambda folder: "Lisbon is the capital of Portugal.",
        mistake=lambda folder: "Madrid",
        files=FILES,
    ),
    Objective(
        "plain-translation",
        FAMILY,
        "How does one say 'Good morning' in German?",
        TOOLS,
        check=lambda folder, answer: says(answer, "Guten Morgen", others=["Guten Abend"]),
        solve=lambda folder: '"Guten Morgen"',
        mistake=lambda folder: "Guten Abend",
        files=FILES,
    ),
    Objective(
        "plain-bird",
        FAMILY,
        "Which of these animals is a bird: a dolphin, a bat, a penguin, a salmon?",
        TOOLS,
        check=lambda folder, answer: says(answer, "penguin", others=["dolphin is", "bat is"]),
        solve=lambda folder: "The penguin.",
        mistake=lambda folder: "The bat.",
        files=FILES,
    ),
)
