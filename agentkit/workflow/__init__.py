"""The workflow language: how it is written, what can be wrong with it, how it runs.

- `spec`: what a file may say (pydantic): source of loader, checker and JSON Schema
- `expressions`: `${{ ... }}`, parsed and evaluated
- `environment`: what an expression can reach, and how much work it may do
- `output_schema`: what can be wrong with a schema, or with an answer that has to fit it
- `check`: what is wrong beyond structure, with places
- `names`: the names in expressions, as a part of that
- `load`: file to checked workflow
- `inputs`: what a caller gives, in the declared types
- `run`: the runner: steps in order, events out
- `report`: one step telling what becomes of it
- `steps/`: one module for each kind of step
"""
