"""The workflow language: how it is written, what can be wrong with it, how it runs.

spec          what a file may say (pydantic): source of loader, checker and JSON Schema
expressions   ${{ ... }}
check         what is wrong beyond structure, with places
load          file to checked workflow
inputs        what a caller gives, in the declared types
run           the runner: steps in order, events out
steps/        one module for each kind of step
"""
