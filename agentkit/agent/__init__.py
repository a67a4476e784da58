"""The task loop: an objective, tools and a model in; an answer, and how it is known, out.

tasks        the list, and what may be added to it
budget       how much may be spent, and why an agent ends
guard        noticing that it goes round in circles
claims       what a result states that no tool has shown
state        all that an agent knows, as the sum of its events
transcript   the state as a conversation that is only appended to
mind         the questions to the model (prompts.yaml has their words)
hands        the calls, and what came of them
possible     which calls are possible now: guards in the grammar
looks        what is looked at before anything is asked
folder       the files there are, and those that a task speaks of
known        the tools that it knows by name
checks       whether the objective is reached
memory       what earlier runs have to say, and what this one leaves behind
loop         THE loop
account      what it tells, in order: each event goes out before it counts
verdict      what is wrong with a result
planning     the list as it changes
strategies   ways to answer one hard question
report       what a person gets to read
run          all of it put together for one run
"""
