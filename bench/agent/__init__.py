"""An agent and its objectives, from the sentence of a person to the state of a folder.

objective   what an objective is; `objectives` are all of them, by family
answers     what an answer in plain words says
site        the website that some of them read
world       a home, tools, permissions and memory that are the same for all who play
players     who plays, behind one method
records     what was played, so that a long run can go on
tables      what is printed

See README.md for how to run it and what is measured.
"""
