"""Tools: find them, say what they do, decide whether a call may happen, and make it.

tool        what a tool is, and `@tool`
sources     where tools come from: folders, installed packages, other programs
python      a Python file with functions, as tools
script      an executable file with a header, as a tool
servers     what an MCP server offers, as tools
box         all tools of all sources by name
grants      whether a call may touch what it would touch (pure)
approvals   questions that only a person answers, and the answers that are remembered
paths       where a path leads that a tool was given
files       files, within what is granted
context     what a tool may reach while it works
caller      one call, from its arguments to one of four outcomes
plain       what goes in and out as plain data
output      what a model sees of an outcome: capped, marked as data, the rest in pages
answer      a model's answer with the calls that it makes on the way

and what several tools share:

received    what a server sent: there or not, which kind, in which characters
documents   documents of others, read in a process that can be ended
reader      that process
website     where a site ends, and what its robots.txt says
telling     the lines that have the most telling words of a question
"""

from agentkit.toolbox.box import BadTool, Toolbox
from agentkit.toolbox.tool import Tool, tool

__all__ = ["BadTool", "Tool", "Toolbox", "tool"]
