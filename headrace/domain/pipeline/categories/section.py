"""Reads `model.categories`: which inputs are categories, and how they become numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from headrace.domain.pipeline.categories.spec import ENCODINGS, MOST_BUCKETS, MOST_LEVELS, Category
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.form import Form

CATEGORIES_EXAMPLE = "{sector: one_hot, shop: {encoding: hash, buckets: 64}}"
KEYS = ("encoding", "most", "buckets")


def read_categories(node: Node | None, types: Mapping[str, str], problems: Problems) -> dict[str, Category]:
    """How each input that is a category is encoded, by its name.

    Args:
        node: of `categories`; None where the file has none.
        types: of the model's inputs, by name, as fields of the event and feature columns have them. A `string` is a
            category whether it stands there or not; an `integer` is one where it does.
    """
    found = {name: Category() for name, kind in types.items() if kind == "string"}
    if node is None:
        return found
    form = Form(node, problems, None, CATEGORIES_EXAMPLE)
    for name, entry in form.entries.items():
        if name not in types:
            problems.add(form.node.keys[name], f"{name} is no input of the model", closest(name, types))
        elif types[name] not in ("string", "integer"):
            remedy = "only strings and integers can be categories: take it out"
            problems.add(form.node.keys[name], f"{name} is {types[name]}, and a quantity has an order", remedy)
        elif (category := _category(entry, problems)) is not None:
            found[name] = category
    return found


def native(categories: Mapping[str, Category]) -> Collection[str]:
    """The inputs that are left to the library's own splits."""
    return [name for name, each in categories.items() if each.encoding == "native"]


def _category(node: Node, problems: Problems) -> Category | None:
    """What one entry says: an encoding, or a mapping with what it takes."""
    if node.entries is None:
        if node.text not in ENCODINGS:
            problems.add(node, f"no encoding is called {node.text}", closest(str(node.text), ENCODINGS))
            return None
        return Category(next(each for each in ENCODINGS if each == node.text))
    form = Form(node, problems, KEYS, "{encoding: hash, buckets: 64}")
    chosen = form.choice("encoding", ENCODINGS) or ENCODINGS[0]
    encoding = next(each for each in ENCODINGS if each == chosen)
    idle = "most" if encoding == "hash" else "buckets"
    if idle in form:
        does = "hashes know no category by name" if encoding == "hash" else f"{encoding} has no buckets"
        problems.add(form.node_of(idle), f"{idle} has no use: {does}", "take it out")
    most, buckets = form.whole("most", 1, MOST_LEVELS), form.whole("buckets", 2, MOST_BUCKETS)
    given = Category(encoding)
    return Category(encoding, most or given.most, buckets or given.buckets)
