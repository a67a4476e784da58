"""One module for each kind of step: what it does with its rendered arguments.

uses      call a tool
workflow  run another workflow
script    run a program in the sandbox
prompt    ask a chat model
agent     let a task loop work towards an objective
approve   ask a person
quality   what `checks` and `strategy` mean
review    whether a result that no model made will do
scope     what a step may reach
"""
