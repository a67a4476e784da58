"""Does not end when it should, nor does its child; writes the numbers of both to PIDS."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.toolservers.programs import wire

signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(
    [sys.executable, "-c", "import signal\nsignal.signal(15, 1)\nsignal.pause()"]
)
Path(os.environ["PIDS"]).write_text(f"{os.getpid()} {child.pid}")
wire.serve(lambda: [wire.tool("stay")], lambda question, name, given: wire.say(question, "still"))
while True:
    signal.pause()
