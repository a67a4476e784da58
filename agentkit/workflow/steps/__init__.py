"""One module for each kind of step: what it does with its rendered arguments.

uses     call a tool
prompt   ask a chat model
agent    let a task loop work towards an objective
"""
