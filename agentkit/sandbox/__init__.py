"""Programs that somebody else wrote, most of the time a model, run where they can harm nothing.

bubblewrap    the sandbox: one job from its checks to its result
bare          the same job without isolation, for who says `sandbox: none`
availability  whether it works on this machine, and what to do if not
checks        a job as it was asked for: every fault is the caller's
view          what the program finds around it
interpreter   the Python it finds
identity      who it is: an ordinary user's stand-in, or a user of its own for root's programs
ownership     files handed to that user, and taken back
process       bubblewrap started, held until the limits are set, released
rlimits       the kernel's limits of each process
cgroup        the kernel's limits of all of them, where the system lends us a control group
watch         the wait: output, time, cancel, and looks at what is used
usage         what processes use, growth: what was added to the folder, inside: where to look
work          the work folder: one program at a time, left clean
apart         a copy of it for a program that works beside others; merge: brought back
duplicate     the content of a file in another one
tree          walking a folder that somebody else fills
syscalls      system calls that are refused
diagnosis     why it does not work here
"""

from agentkit.sandbox.availability import Availability, availability
from agentkit.sandbox.bare import NoSandbox
from agentkit.sandbox.bubblewrap import BubblewrapSandbox

__all__ = ["Availability", "BubblewrapSandbox", "NoSandbox", "availability"]
