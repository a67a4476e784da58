"""Says of its tools what is not so."""

from typing import Any

from tests.toolservers.programs import wire

LOOP = {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}}
LAUGHS = {
    "type": "object",
    "allOf": [{"$ref": "#/$defs/0"}],
    "$defs": {
        str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}, {"$ref": f"#/$defs/{n + 1}"}]}
        for n in range(25)
    }
    | {"25": {}},
}
DEEP: dict[str, Any] = {"type": "object"}
for _ in range(60):
    DEEP = {"type": "object", "properties": {"a": DEEP}}
NUMBER = {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}

TOOLS = [
    wire.tool("honest", "Is \x1b[2Jwhat\u202e it \u200bsays\U000e0041.\x07"),
    wire.tool("endless", "very " * 2_000_000),
    wire.tool("typo", "", {"type": "objekt"}),
    wire.tool("list", "", {"type": "array"}),
    wire.tool("elsewhere", "", {"type": "object", "$ref": "http://127.0.0.1:1/schema"}),
    wire.tool("nowhere", "", {"type": "object", "$ref": "#/$defs/nothing"}),
    wire.tool("loop", "", LOOP),
    wire.tool("laughs", "", LAUGHS),
    wire.tool("deep", "", DEEP),
    wire.tool("large", "", {"type": "object", "properties": {f"a{n}": {} for n in range(20_000)}}),
    wire.tool("evil", "", {"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}),
    wire.tool("odd\x1b name/\u202e", "An odd name."),
    wire.tool("x" * 300, "A long name."),
    wire.tool("twice", "The first."),
    wire.tool("twice", "The second."),
    wire.tool("number", "Gives a number.", outputSchema=NUMBER),
    wire.tool("unchecked", "Gives a number.", outputSchema={"$ref": "http://127.0.0.1:1/"}),
]


def call(question: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    gives: Any = given.get("give", {"n": "three"})
    if gives is None:
        wire.say(question, "nothing but words")
    elif given.get("bare"):
        wire.answer(question, {"content": gives})
    else:
        wire.say(question, "a number", structuredContent=gives)


wire.serve(lambda: TOOLS, call)
