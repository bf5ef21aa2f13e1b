"""docs/api.md: every field of the traffic API, whether it acts, and the test that proves it.

`python -m tests.docs.api_reference` writes the page; `test_api_reference` fails when it is stale, and when a
field is said to act that no test proves.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.control_plane.effects import effects
from tests.docs.api_fields import KINDS, ApiField, fields_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/api.md"
EFFECTS_TEST = "tests/control_plane/test_field_effects.py"

_HEAD = """# The traffic API, field by field

<!-- made by python -m tests.docs.api_reference -->

Every field of Istio's networking and telemetry kinds, of the MeshConfig, of Ingress, and of the Gateway API.

* **acts**: it changes what proxies do, and a test proves it.
* **no effect in Istio**: a name for people, or a field that istiod does not read.
* **not simulated**: read and checked as Istio does it; `validate`, `up` and `status` say so once.

No field is refused; values are, as istiod's webhook refuses them.

A proof `effect` is the case of this field in `{effects}`: the mesh is translated with the
field and without, and what the proxies are sent must differ. Other proofs are tests by name.

| kind | fields | act | not simulated |
|---|---:|---:|---:|
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """A test, and the fields that it proves. A path ends in `**` to stand for all below it."""

    kind: str
    path: str
    test: str

    def covers(self, field: ApiField) -> bool:
        if self.kind != field.kind:
            return False
        root = self.path.removesuffix(".**")
        if root == self.path:
            return field.path in (root, root.removesuffix("[]"))
        rest = field.path.removeprefix(root)
        return rest != field.path and rest[:1] in ("", ".", "[")


def proofs() -> list[Proof]:
    """All proofs: the effects first, then the tests that are marked, in the order of their files."""
    found = [Proof(each.kind, each.path, "effect") for each in effects()]
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if "@proves(" in text:
            found.extend(_marks(ast.parse(text), file.relative_to(ROOT).as_posix()))
    return found


def _marks(tree: ast.Module, file: str) -> Iterator[Proof]:
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "proves":
                kind, *paths = (ast.literal_eval(argument) for argument in mark.args)
                for path in paths:
                    yield Proof(kind, path, f"{file}::{node.name}")


def unproven(known: Iterable[Proof]) -> list[str]:
    """Fields that are said to act, and no test proves it."""
    listed = list(known)
    return [
        f"{field.kind}.{field.path}"
        for kind in KINDS
        for field in fields_of(kind)
        if field.is_leaf and field.acts and not any(each.covers(field) for each in listed)
    ]


def page() -> str:
    """The whole page."""
    known = proofs()
    by_kind = {kind: [each for each in fields_of(kind) if each.is_leaf] for kind in KINDS}
    lines = [_HEAD.format(effects=EFFECTS_TEST).rstrip()]
    for kind, fields in by_kind.items():
        states = [field.state for field in fields]
        acting, idle = states.count("acts"), states.count("not simulated")
        lines.append(f"| [{kind}](#{_anchor(kind)}) | {len(fields)} | {acting} | {idle} |")
    for kind, fields in by_kind.items():
        lines += ["", f"## {kind}", "", "| field | type | state | proof |", "|---|---|---|---|"]
        lines += [_row(field, known) for field in fields]
    return "\n".join(lines) + "\n"


def _anchor(heading: str) -> str:
    """What the heading is linked by, as code hosts make it."""
    return heading.lower().replace(".", "")


def _row(field: ApiField, known: list[Proof]) -> str:
    proof = next((each.test for each in known if each.covers(field)), "") if field.acts else ""
    shown = proof if proof in ("", "effect") else f"`{proof.removeprefix('tests/')}`"
    return f"| `{field.path.removeprefix('spec.')}` | {field.type} | {field.state} | {shown} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
