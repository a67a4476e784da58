"""An index of token lists by their common beginnings: a radix tree that knows who holds what.

An edge carries a run of tokens; a list ends at a node.  The longest match of a prompt may end in
the middle of an edge: whoever lies below that edge holds it.  Nothing here knows of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class _Node:
    __slots__ = ("children", "edge", "keys", "parent")

    def __init__(self, parent: _Node | None, edge: list[int]) -> None:
        self.parent = parent
        self.edge = edge
        self.children: dict[int, _Node] = {}
        self.keys: set[int] = set()

    def below(self) -> Iterator[int]:
        """The keys of all lists that end here or further down."""
        nodes = [self]
        while nodes:
            node = nodes.pop()
            yield from node.keys
            nodes += node.children.values()


class RadixIndex:
    """Maps keys to token lists and finds those that share the beginning of another list.

    >>> index = RadixIndex()
    >>> index.extend(1, [5, 6, 7, 8])
    >>> index.extend(2, [5, 6, 9])
    >>> index.longest([5, 6, 7, 1])
    (3, {1})
    >>> index.longest_whole([5, 6, 9, 9])
    (3, {2})
    """

    def __init__(self) -> None:
        self._root = _Node(None, [])
        self._ends: dict[int, _Node] = {}

    def __contains__(self, key: int) -> bool:
        return key in self._ends

    def __len__(self) -> int:
        return len(self._ends)

    def tokens(self, key: int) -> list[int]:
        """The list of a key; empty for one that is not known."""
        edges, node = [], self._ends.get(key)
        while node is not None:
            edges.append(node.edge)
            node = node.parent
        return [token for edge in reversed(edges) for token in edge]

    def extend(self, key: int, tokens: Sequence[int]) -> None:
        """Append to the list of a key, which begins as the empty one."""
        node = self._ends.get(key, self._root)
        alone = node.keys == {key} and not node.children
        if alone and node is not self._root:
            node.edge.extend(tokens)
            return
        node.keys.discard(key)
        end = self._descend(node, tokens)
        end.keys.add(key)
        self._ends[key] = end
        if end is not node:
            self._tidy(node)

    def truncate(self, key: int, length: int) -> None:
        """Forget all but the first `length` tokens of a list."""
        tokens = self.tokens(key)
        if length < len(tokens):
            self.remove(key)
            self.extend(key, tokens[:length])

    def remove(self, key: int) -> None:
        """Forget a list.  Nothing happens for a key that is not known."""
        node = self._ends.pop(key, None)
        if node is not None:
            node.keys.discard(key)
            self._tidy(node)

    def longest(self, tokens: Sequence[int]) -> tuple[int, set[int]]:
        """How many tokens the best match shares with `tokens`, and the keys of all such lists."""
        node, length = self._root, 0
        while length < len(tokens):
            child = node.children.get(tokens[length])
            if child is None:
                break
            shared = _shared(child.edge, tokens, length)
            length += shared
            node = child
            if shared < len(child.edge):
                break
        return (length, set(node.below())) if length else (0, set())

    def longest_whole(self, tokens: Sequence[int]) -> tuple[int, set[int]]:
        """The longest list that is itself a beginning of `tokens`: its length, and its keys."""
        node, length = self._root, 0
        best: tuple[int, set[int]] = (0, set())
        while length < len(tokens):
            child = node.children.get(tokens[length])
            if child is None or _shared(child.edge, tokens, length) < len(child.edge):
                break
            length += len(child.edge)
            node = child
            if node.keys:
                best = (length, set(node.keys))
        return best

    def _descend(self, node: _Node, tokens: Sequence[int]) -> _Node:
        """The node at which `tokens`, counted from `node`, end; made where there is none."""
        at = 0
        while at < len(tokens):
            child = node.children.get(tokens[at])
            if child is None:
                child = node.children[tokens[at]] = _Node(node, list(tokens[at:]))
                return child
            shared = _shared(child.edge, tokens, at)
            if shared < len(child.edge):
                child = _split(child, shared)
            node, at = child, at + shared
        return node

    def _tidy(self, node: _Node) -> None:
        """Take out nodes at which nothing ends and nothing branches."""
        while not node.keys and not node.children and node.parent is not None:
            parent = node.parent
            del parent.children[node.edge[0]]
            node = parent
        if not node.keys and len(node.children) == 1 and node.parent is not None:
            (child,) = node.children.values()
            child.edge[:0] = node.edge
            child.parent = node.parent
            node.parent.children[child.edge[0]] = child


def _split(node: _Node, length: int) -> _Node:
    """Cut the edge to a node in two; returns the new node in the middle."""
    assert node.parent is not None
    middle = _Node(node.parent, node.edge[:length])
    node.parent.children[middle.edge[0]] = middle
    del node.edge[:length]
    node.parent = middle
    middle.children[node.edge[0]] = node
    return middle


def _shared(edge: list[int], tokens: Sequence[int], start: int) -> int:
    """How many tokens of an edge agree with `tokens` from `start` on."""
    return common_length(edge, tokens[start : start + len(edge)])


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two lists have in common at their beginning.

    By halving: comparing two slices costs next to nothing beside a loop over their tokens.
    """
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
