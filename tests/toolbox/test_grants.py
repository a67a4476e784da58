"""What is granted, asked and denied, line by line; nothing but settings and people grants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.hosts import HostPolicy
from agentkit.permissions import Access, Effect, Rule, Verdict
from agentkit.toolbox.grants import (
    SEVERITY,
    Grants,
    Narrowing,
    common_hosts,
    covers_path,
    rule_covers,
    rules_for,
)

NOTES = Path("/home/x/notes")
READ = Access("reads", "/home/x/notes/a.md")
WRITE = Access("writes", "/home/x/notes/a.md")
TALK = Access("network", "example.org:443")
LOCAL = Access("network", "127.0.0.1:8080")
RUN = Access("executes")


def verdict(grants: Grants, *accesses: Access, tool: str = "t", rules: Sequence[Rule] = ()) -> str:
    return grants.decide(tool, accesses, rules).verdict


def remembered(access: Access, said: Any, tool: str = "t") -> tuple[Rule, ...]:
    return rules_for(tool, [access], said)


# -- the order of the lines ------------------------------------------------------------------------


@pytest.mark.parametrize("access", [READ, WRITE, TALK, LOCAL, RUN, Access("spends")])
def test_what_no_line_speaks_of_is_asked_or_denied(access: Access) -> None:
    assert verdict(Grants(), access) == "ask"
    assert verdict(Grants(otherwise="deny"), access) == "deny"


def test_a_tool_that_touches_nothing_is_allowed() -> None:
    assert verdict(Grants(otherwise="deny")) == "allow"


@pytest.mark.parametrize("line", ["ask", "deny"])
def test_a_tool_that_touches_nothing_obeys_its_line_too(line: Verdict) -> None:
    grants = Grants(tools={"t": line}, effects={"executes": "allow"})
    assert verdict(grants) == line
    rules = rules_for("t", grants.decide("t", ()).open, "allow")
    assert verdict(grants, rules=rules) == ("allow" if line == "ask" else "deny")


@pytest.mark.parametrize(
    ("grants", "access"),
    [
        (Grants(read=(NOTES,)), READ),
        (Grants(write=(NOTES,)), WRITE),
        (Grants(hosts=("example.org",)), TALK),
        (Grants(hosts=("127.0.0.1:8080",)), LOCAL),
        (Grants(own=(NOTES,)), READ),
        (Grants(own_write=(NOTES,)), READ),
        (Grants(own_write=(NOTES,)), WRITE),
        (Grants(tools={"t": "allow"}), READ),
        (Grants(tools={"t": "allow"}), WRITE),
        (Grants(tools={"t": "allow"}), TALK),
        (Grants(tools={"t": "allow"}), RUN),
        (Grants(tools={"t": "allow"}), Access("network")),
        (Grants(effects={"executes": "allow"}), RUN),
        (Grants(effects={"reads": "allow"}), READ),
        (Grants(effects={"network": "allow"}), TALK),
    ],
)
def test_a_line_that_allows(grants: Grants, access: Access) -> None:
    assert verdict(replace(grants, otherwise="deny"), access) == "allow"


@pytest.mark.parametrize(
    ("grants", "access"),
    [
        (Grants(read=(NOTES,)), WRITE),
        (Grants(write=(NOTES,)), READ),
        (Grants(own=(NOTES,)), WRITE),
        (Grants(hosts=("example.org:80",)), TALK),
        (Grants(hosts=("*.example.org",)), TALK),
        (Grants(hosts=("*",)), LOCAL),
        (Grants(read=(Path("/"),)), Access("reads")),
        (Grants(own=(Path("/"),)), Access("reads")),
        (Grants(tools={"other": "allow"}), READ),
        (Grants(tools={"t": "allow"}), LOCAL),
        (Grants(effects={"network": "allow"}), LOCAL),
        (Grants(effects={"writes": "allow"}), READ),
    ],
)
def test_what_a_line_does_not_reach(grants: Grants, access: Access) -> None:
    assert verdict(grants, access) == "ask"
    assert verdict(replace(grants, otherwise="deny"), access) == "deny"


def test_the_tool_s_own_line_comes_before_folders_and_hosts() -> None:
    for line in ("ask", "deny"):
        grants = Grants(
            tools={"t": line}, read=(NOTES,), hosts=("example.org",), own_write=(NOTES,)
        )
        assert [verdict(grants, access) for access in (READ, WRITE, TALK)] == [line] * 3


def test_folders_and_hosts_come_before_the_effect_s_line() -> None:
    grants = Grants(
        read=(NOTES,), hosts=("example.org",), effects={"reads": "deny", "network": "deny"}
    )
    assert verdict(grants, READ, TALK) == "allow"
    assert verdict(grants, Access("reads", "/etc/passwd")) == "deny"
    assert verdict(grants, LOCAL) == "deny"


def test_a_name_in_full_counts_more_than_a_pattern_and_the_strictest_pattern_counts() -> None:
    lines: dict[str, Verdict] = {"files__*": "deny", "files__read": "allow"}
    assert verdict(Grants(tools=lines), READ, tool="files__read") == "allow"
    assert verdict(Grants(tools=lines), READ, tool="files__write") == "deny"
    assert verdict(Grants(tools={"*": "allow", "f*": "ask"}), READ, tool="files__read") == "ask"
    assert verdict(Grants(tools={"FILES__*": "allow"}), READ, tool="files__read") == "ask"


def test_the_strictest_access_decides_and_is_named() -> None:
    grants = Grants(read=(NOTES,), effects={"writes": "deny"})
    decision = grants.decide("t", [READ, TALK, WRITE])
    assert (decision.verdict, decision.open) == ("deny", (WRITE,))
    assert decision.reason == f"t would write {WRITE.what}: settings deny that"
    decision = grants.decide("t", [READ, TALK, TALK])
    assert (decision.verdict, decision.open) == ("ask", (TALK, TALK))
    assert decision.reason == "t would talk to example.org:443"


# -- what needs more than a line that allows -------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["127.0.0.1:80", "[::1]:80", "10.0.0.1:443", "169.254.169.254:80", "localhost:80",
              "nas:443", "printer.local:631", "metadata.google.internal:80", "100.64.0.1:80"]
)  # fmt: skip
def test_an_address_of_this_network_is_granted_by_its_own_name_only(place: str) -> None:
    access = Access("network", place)
    broad = Grants(tools={"t": "allow"}, effects={"network": "allow"}, hosts=("*",))
    assert verdict(broad, access) == "ask"
    assert verdict(replace(broad, otherwise="deny"), access) == "deny"
    assert verdict(Grants(hosts=(place,)), access) == "allow"
    assert verdict(Grants(), access, rules=remembered(access, "allow")) == "allow"
    assert verdict(Grants(), access, rules=remembered(Access("network"), "allow")) == "ask"


@pytest.mark.parametrize(
    "path",
    ["/home/x/notes/.env", "/home/x/notes/.git/config", "/home/x/notes/a/.b/c", "/home/x/notes/..",
     "/home/x/notes/../.ssh/id", "/home/x/notes-private/a", "/home/x/note", "/home/x", "/", "*",
     "notes/a.md", ""],
)  # fmt: skip
def test_a_granted_folder_does_not_cover_what_is_hidden_in_it_or_beside_it(path: str) -> None:
    assert not covers_path([NOTES], path)
    assert verdict(Grants(read=(NOTES,)), Access("reads", path)) == "ask"


@pytest.mark.parametrize("path", ["/proc/self/environ", "/sys/kernel", "/dev/stdin", "/proc"])
def test_a_granted_machine_does_not_cover_what_the_kernel_shows(path: str) -> None:
    assert not covers_path([Path("/")], path)
    assert covers_path([Path("/")], "/procession/a")
    assert covers_path([Path(path)], path)


def test_a_hidden_folder_that_is_granted_by_name_is_covered() -> None:
    assert covers_path([Path("/home/x/.config")], "/home/x/.config/a")
    assert not covers_path([Path("/home/x/.config")], "/home/x/.config/.b")


def test_the_folder_of_a_run_has_nothing_hidden_and_nothing_beside_it() -> None:
    grants = Grants(own_write=(Path("/runs/1"),))
    for path, what in (("/runs/1/.a", "allow"), ("/runs/1/../2/a", "ask"), ("/runs/12/a", "ask")):
        assert verdict(grants, Access("writes", path)) == what
        assert grants.writes(Path(path)) == (what == "allow")


# -- answers that are remembered -------------------------------------------------------------------


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / "a.md").write_text("")
    return tmp_path / "notes"


def test_always_is_about_the_folder_of_a_file_and_nothing_beside_it(notes: Path) -> None:
    rules = remembered(Access("reads", str(notes / "a.md")), "allow")
    assert rules == (Rule("t", "reads", str(notes), "allow"),)
    for path, expected in {
        "notes/b.md": "allow", "notes/deep/c.md": "allow", "notes": "allow",
        "notes-private/a.md": "ask", "note": "ask", "b.md": "ask", "notes/../b.md": "ask",
        "notes/.env": "ask", "notes/deep/.env": "ask",
    }.items():  # fmt: skip
        access = Access("reads", str(notes.parent / path))
        assert verdict(Grants(), access, rules=rules) == expected, path
        assert verdict(Grants(), Access("writes", access.what), rules=rules) == "ask"
        assert verdict(Grants(), access, tool="other", rules=rules) == "ask"


def test_always_about_a_folder_is_about_that_folder(notes: Path) -> None:
    assert remembered(Access("reads", str(notes)), "allow")[0].pattern == str(notes)


@pytest.mark.parametrize("path", ["/x.txt", "{home}/x.txt", "{home}/.ssh/config", "/etc/.pw/a"])
def test_always_about_a_file_in_a_wide_or_hidden_place_is_about_the_file(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = path.format(home=tmp_path)
    rules = remembered(Access("reads", path), "allow")
    assert [rule.pattern for rule in rules] == [path]
    assert verdict(Grants(), Access("reads", path), rules=rules) == "allow"
    beside = Access("reads", str(Path(path).with_name("other")))
    assert verdict(Grants(), beside, rules=rules) == "ask"


def test_always_about_a_host_is_about_its_port_too() -> None:
    rules = remembered(TALK, "allow")
    for place, expected in {
        "example.org:443": "allow", "example.org:80": "ask", "www.example.org:443": "ask",
        "org:443": "ask", "notexample.org:443": "ask", "example.org.evil.net:443": "ask",
    }.items():  # fmt: skip
        assert verdict(Grants(), Access("network", place), rules=rules) == expected, place


@pytest.mark.parametrize("effect", get_args(Effect))
def test_always_about_what_has_no_name_is_about_nothing_that_has_one(effect: Effect) -> None:
    """A tool that begins to say what it touches is asked about anew."""
    rules = remembered(Access(effect), "allow")
    assert verdict(Grants(), Access(effect), rules=rules) == "allow"
    named = {"reads": "/a/b", "writes": "/a/b", "network": "example.org:443"}
    if effect in named:
        assert verdict(Grants(), Access(effect, named[effect]), rules=rules) == "ask"
        other = remembered(Access(effect, named[effect]), "allow")
        assert verdict(Grants(), Access(effect), rules=other) == "ask"


def test_always_answers_a_question_and_allows_nothing_that_settings_deny() -> None:
    """An answer that was given in front of a terminal does not open what nobody watches."""
    rules = (*remembered(READ, "allow"), *remembered(RUN, "allow"))
    assert verdict(Grants(tools={"t": "ask"}), READ, rules=rules) == "allow"
    assert verdict(Grants(effects={"executes": "ask"}), RUN, rules=rules) == "allow"
    for denied in (
        Grants(tools={"t": "deny"}),
        Grants(tools={"*": "deny"}),
        Grants(effects={"reads": "deny", "executes": "deny"}),
        Grants(otherwise="deny"),
        Grants(narrowings=(Narrowing("w", tools=()),)),
    ):
        assert verdict(denied, READ, rules=rules) == "deny"
        assert verdict(denied, RUN, rules=rules) == "deny"


def test_never_refuses_also_what_settings_allow() -> None:
    rules = remembered(READ, "deny")
    for grants in (Grants(tools={"t": "allow"}), Grants(read=(NOTES,)), Grants(own=(NOTES,))):
        decision = grants.decide("t", [READ], rules)
        assert decision.verdict == "deny"
        assert decision.reason.endswith("a person said never (agentkit approvals forget t)")


@pytest.mark.parametrize("newest_first", [True, False])
def test_never_about_a_place_counts_within_always_about_a_wider_one(newest_first: bool) -> None:
    never = Rule("t", "reads", "/home/x/notes/secret", "deny")
    always = Rule("t", "reads", "/home/x/notes", "allow")
    rules = [never, always] if newest_first else [always, never]
    assert verdict(Grants(), Access("reads", "/home/x/notes/secret/a"), rules=rules) == "deny"
    assert verdict(Grants(), READ, rules=rules) == "allow"


def test_a_rule_that_no_host_can_be_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="is not a host"):
        verdict(Grants(), TALK, rules=[Rule("t", "network", "no host!", "deny")])


# -- what a workflow takes away --------------------------------------------------------------------

ALL = Grants(
    tools={"t": "allow"}, read=(Path("/"),), write=(Path("/"),), hosts=("*", "127.0.0.1:8080"),
    effects={"executes": "allow"}, own=(Path("/given"),), own_write=(Path("/run"),),
)  # fmt: skip


def narrowed(**said: Any) -> Grants:
    return replace(ALL, narrowings=(Narrowing("`permissions` in w.yaml", **said),))


@pytest.mark.parametrize(
    ("said", "access", "expected"),
    [
        ({}, READ, "allow"),
        ({"tools": ["t"]}, READ, "allow"),
        ({"tools": ["t*"]}, READ, "allow"),
        ({"tools": ["other"]}, READ, "deny"),
        ({"tools": []}, RUN, "deny"),
        ({"read": []}, READ, "deny"),
        ({"read": [NOTES]}, READ, "allow"),
        ({"read": [NOTES]}, Access("reads", "/home/x/notes/.env"), "deny"),
        ({"read": [NOTES]}, Access("reads", "/etc/passwd"), "deny"),
        ({"read": [NOTES]}, Access("reads"), "deny"),
        ({"read": [NOTES]}, WRITE, "allow"),
        ({"write": []}, WRITE, "deny"),
        ({"write": []}, READ, "allow"),
        ({"hosts": []}, TALK, "deny"),
        ({"hosts": ["example.org"]}, TALK, "allow"),
        ({"hosts": ["*"]}, TALK, "allow"),
        ({"hosts": ["*"]}, LOCAL, "deny"),
        ({"hosts": ["127.0.0.1"]}, LOCAL, "allow"),
        ({"hosts": ["example.org"]}, Access("network"), "deny"),
        ({"hosts": ["*"]}, Access("network"), "allow"),
        ({"read": [], "write": [], "hosts": []}, RUN, "allow"),
        ({"read": []}, Access("reads", "/given/.env"), "allow"),
        ({"write": []}, Access("writes", "/run/a"), "allow"),
        ({"read": []}, Access("reads", "/run/a"), "allow"),
        ({"read": []}, Access("reads", "/run/../etc/passwd"), "deny"),
    ],
)
def test_what_is_left(said: dict[str, Any], access: Access, expected: str) -> None:
    assert verdict(narrowed(**said), access) == expected


def test_who_took_it_away_is_told() -> None:
    assert narrowed(tools=[]).decide("t", [READ]).reason == (
        "`permissions` in w.yaml does not name the tool 't'"
    )
    assert narrowed(read=[]).decide("t", [READ]).reason == (
        f"`permissions` in w.yaml does not let it read {READ.what}"
    )


def test_a_workflow_that_gives_itself_everything_has_what_it_had() -> None:
    grab = Narrowing("w", tools=["*"], read=[Path("/")], write=[Path("/")], hosts=["*"])
    poor = Grants(otherwise="deny", narrowings=(grab,))
    for access in (READ, WRITE, TALK, LOCAL, RUN):
        assert verdict(poor, access) == "deny"
    assert not poor.reads(NOTES)
    assert not poor.writes(NOTES)
    assert poor.reachable == ()


def test_two_narrowings_both_count() -> None:
    both = (Narrowing("one", hosts=["example.org"]), Narrowing("two", tools=["t"], hosts=["*"]))
    grants = replace(ALL, narrowings=both)
    assert verdict(grants, TALK) == "allow"
    assert verdict(grants, Access("network", "other.org:443")) == "deny"
    assert grants.reachable == ("example.org",)


def test_what_is_taken_away_is_taken_from_the_open_call_too() -> None:
    """A tool that reads what its arguments do not name reads within what is left."""
    grants = narrowed(read=[NOTES], write=[], hosts=["example.org", "127.0.0.1"])
    assert grants.reads(NOTES / "a.md")
    assert not grants.reads(Path("/etc/passwd"))
    assert not grants.writes(NOTES / "a.md")
    assert grants.writes(Path("/run/a"))
    assert grants.reads(Path("/given/a"))
    assert grants.reachable == ("example.org", "127.0.0.1:8080")


# -- what was decided, for one call ----------------------------------------------------------------


def test_a_call_reaches_what_was_decided_and_no_more() -> None:
    accesses = [Access("reads", "/a/x"), Access("writes", "/b/y"), TALK, LOCAL, Access("reads")]
    grants = Grants().plus(accesses)
    assert [grants.reads(Path(p)) for p in ("/a/x", "/b/y", "/a", "/a/z", "/b/y2")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert [grants.writes(Path(p)) for p in ("/b/y", "/a/x", "/b")] == [True, False, False]
    assert grants.reachable == ("example.org:443", "127.0.0.1:8080")


def test_a_call_that_may_talk_to_somebody_unnamed_reaches_whoever_is_public() -> None:
    """Or a yes would be worth nothing; and no yes opens what nobody has named."""
    reached = HostPolicy.of(Grants().plus([Access("network")]).reachable)
    assert reached.permits("example.org", 443)
    for host in ("127.0.0.1", "localhost", "nas", "169.254.169.254"):
        assert not reached.permits(host, 80)


def test_a_folder_that_a_call_is_about_does_not_open_what_is_hidden_in_it() -> None:
    grants = Grants(read=(NOTES,)).plus([Access("reads", str(NOTES))])
    assert grants.reads(NOTES / "a.md")
    assert not grants.reads(NOTES / ".env")
    hidden = Grants().plus([Access("reads", str(NOTES / ".env"))])
    assert hidden.reads(NOTES / ".env")


# -- hosts that two lists cover --------------------------------------------------------------------

NAMES = ["example.org", "www.example.org", "a.www.example.org", "other.net", "nas.local",
         "deep.nas.local", "127.0.0.1", "localhost"]  # fmt: skip
PATTERNS = st.sampled_from(
    ["*", "*:443", *NAMES, *[f"*.{name}" for name in NAMES if not name[0].isdigit()],
     "example.org:443", "example.org:80", "*.example.org:80", "127.0.0.1:443", "*.local:80"]
)  # fmt: skip


@given(some=st.lists(PATTERNS, max_size=4), others=st.lists(PATTERNS, max_size=4))
def test_hosts_that_two_lists_cover_are_those_that_each_covers(
    some: list[str], others: list[str]
) -> None:
    both = HostPolicy.of(common_hosts(some, others))
    for name in NAMES:
        for port in (80, 443):
            one, other = HostPolicy.of(some), HostPolicy.of(others)
            expected = one.permits(name, port) and other.permits(name, port)
            assert both.permits(name, port) == expected, (name, port)


# -- laws ------------------------------------------------------------------------------------------

PATHS = st.sampled_from(
    ["/", "/a", "/a/b", "/a/b/c", "/a/.h", "/a/.h/c", "/ab", "/run", "/run/x", "/proc/1", "*"]
)
PLACES = st.sampled_from(["example.org:443", "www.example.org:80", "127.0.0.1:80", "nas:80", "*"])
ACCESSES = st.one_of(
    st.builds(Access, st.sampled_from(["reads", "writes"]), PATHS),
    st.builds(Access, st.just("network"), PLACES),
    st.builds(Access, st.sampled_from(["executes", "spends"])),
)
FOLDERS = st.lists(PATHS.filter(lambda p: p != "*").map(Path), max_size=3)
HOSTS = st.lists(PATTERNS, max_size=3)
VERDICTS = st.sampled_from(["allow", "ask", "deny"])
NARROWINGS = st.builds(
    Narrowing,
    st.just("w"),
    tools=st.none() | st.lists(st.sampled_from(["t", "t*", "x", "*"]), max_size=2),
    read=st.none() | FOLDERS,
    write=st.none() | FOLDERS,
    hosts=st.none() | HOSTS,
)
GRANTS = st.builds(
    Grants,
    tools=st.dictionaries(st.sampled_from(["t", "t*", "x"]), VERDICTS, max_size=2),
    read=FOLDERS,
    write=FOLDERS,
    hosts=HOSTS,
    effects=st.dictionaries(st.sampled_from(get_args(Effect)), VERDICTS, max_size=3),
    otherwise=st.sampled_from(["ask", "deny"]),
    own=FOLDERS,
    own_write=st.just([Path("/run")]),
    narrowings=st.lists(NARROWINGS, max_size=2),
)
SAID = st.sampled_from(["allow", "deny"])
RULES = st.lists(
    st.builds(Rule, st.just("t"), st.sampled_from(["reads", "writes"]), PATHS, SAID)
    | st.builds(Rule, st.just("t"), st.just("network"), PLACES, SAID)
    | st.builds(Rule, st.just("t"), st.just("executes"), st.just("*"), SAID),
    max_size=3,
)
CALLS = st.lists(ACCESSES, max_size=4)


def severity(grants: Grants, accesses: Sequence[Access], rules: Sequence[Rule]) -> int:
    return SEVERITY[grants.decide("t", accesses, rules).verdict]


@given(grants=GRANTS, narrowing=NARROWINGS, accesses=CALLS, rules=RULES)
def test_narrowing_never_allows_more(
    grants: Grants, narrowing: Narrowing, accesses: list[Access], rules: list[Rule]
) -> None:
    narrower = replace(grants, narrowings=(*grants.narrowings, narrowing))
    assert severity(narrower, accesses, rules) >= severity(grants, accesses, rules)
    for access in accesses:
        path = Path(access.what)
        assert grants.reads(path) or not narrower.reads(path)
        assert grants.writes(path) or not narrower.writes(path)
    left, had = HostPolicy.of(narrower.reachable), HostPolicy.of(grants.reachable)
    for name in NAMES:
        assert had.permits(name, 443) or not left.permits(name, 443)


@given(grants=GRANTS, accesses=CALLS, rules=RULES, more=FOLDERS, hosts=HOSTS,
       which=st.sampled_from(["read", "write", "own", "own_write"]))  # fmt: skip
def test_granting_more_never_denies(
    grants: Grants, accesses: list[Access], rules: list[Rule], more: list[Path], hosts: list[str],
    which: str,
) -> None:  # fmt: skip
    changes: dict[str, Any] = {which: (*getattr(grants, which), *more)}
    wider = replace(grants, hosts=(*grants.hosts, *hosts), **changes)
    assert severity(wider, accesses, rules) <= severity(grants, accesses, rules)


@given(grants=GRANTS, accesses=CALLS, rules=RULES, effect=st.sampled_from(get_args(Effect)))
def test_allowing_an_effect_never_denies(
    grants: Grants, accesses: list[Access], rules: list[Rule], effect: Effect
) -> None:
    wider = replace(grants, effects={**grants.effects, effect: "allow"})
    if grants.effects.get(effect) != "ask" or grants.otherwise != "deny":
        assert severity(wider, accesses, rules) <= severity(grants, accesses, rules)


@given(grants=GRANTS, some=CALLS.filter(bool), others=CALLS, rules=RULES)
def test_a_call_that_touches_more_is_not_allowed_sooner(
    grants: Grants, some: list[Access], others: list[Access], rules: list[Rule]
) -> None:
    both = severity(grants, [*some, *others], rules)
    assert both >= severity(grants, some, rules)
    if others:
        assert both == max(severity(grants, some, rules), severity(grants, others, rules))


@given(grants=GRANTS, accesses=CALLS, rules=RULES, always=ACCESSES)
def test_always_never_denies_and_allows_only_what_is_asked(
    grants: Grants, accesses: list[Access], rules: list[Rule], always: Access
) -> None:
    before = severity(grants, accesses, rules)
    after = severity(grants, accesses, [*rules_for("t", [always], "allow"), *rules])
    assert after == before or (before, after) == (SEVERITY["ask"], SEVERITY["allow"])


@given(grants=GRANTS, accesses=CALLS, rules=RULES, never=ACCESSES)
def test_never_never_allows(
    grants: Grants, accesses: list[Access], rules: list[Rule], never: Access
) -> None:
    after = severity(grants, accesses, [*rules_for("t", [never], "deny"), *rules])
    assert after >= severity(grants, accesses, rules)
    if never in accesses:
        assert after == SEVERITY["deny"]


@given(grants=GRANTS, accesses=CALLS, rules=RULES)
def test_the_order_of_remembered_answers_and_of_accesses_does_not_matter(
    grants: Grants, accesses: list[Access], rules: list[Rule]
) -> None:
    assert severity(grants, accesses, rules) == severity(grants, accesses[::-1], rules[::-1])


@given(access=ACCESSES, tool=st.sampled_from(["t", "x"]))
def test_a_remembered_answer_covers_what_it_was_about(access: Access, tool: str) -> None:
    (rule,) = rules_for(tool, [access], "allow")
    assert rule_covers(rule, access) or "." in access.what or access.what.startswith("/proc")


@given(grants=GRANTS, accesses=CALLS)
def test_what_a_call_was_allowed_it_reaches(grants: Grants, accesses: list[Access]) -> None:
    if grants.decide("t", accesses).verdict != "allow":
        return
    during = grants.plus(accesses)
    for access in accesses:
        if access.what == "*":
            if access.effect == "network":
                assert "*" in during.reachable
            continue
        if access.effect == "reads":
            assert during.reads(Path(access.what))
        if access.effect == "writes":
            assert during.writes(Path(access.what))
        if access.effect == "network":
            host, _, port = access.what.rpartition(":")
            assert HostPolicy.of(during.reachable).permits(host, int(port))


@given(grants=GRANTS, accesses=CALLS, narrowing=NARROWINGS)
def test_what_a_workflow_took_away_no_call_reaches(
    grants: Grants, accesses: list[Access], narrowing: Narrowing
) -> None:
    during = replace(grants, narrowings=(narrowing,)).plus(accesses)
    for text in ("/a/b", "/ab", "/a/.h"):
        for effect, free in (("reads", during.reads), ("writes", during.writes)):
            access = Access(effect, text)  # type: ignore[arg-type]
            if free(Path(text)) and not during._is_own(access):
                assert narrowing.permits(access)
