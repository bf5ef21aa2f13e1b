"""docs/api.md says what is so."""

from __future__ import annotations

from tests.docs.api_fields import KINDS, fields_of
from tests.docs.api_reference import PAGE, page, proofs, unproven


def test_every_field_that_acts_is_proven() -> None:
    missing = unproven(proofs())
    assert not missing, (
        "no test proves these: add a value to tests/control_plane/effects, or mark the test that "
        "does with @proves of tests/proofs.py:\n" + "\n".join(missing)
    )


def test_every_proof_is_of_a_field_that_acts() -> None:
    acting = [field for kind in KINDS for field in fields_of(kind) if field.acts]
    idle = [f"{p.kind}.{p.path} ({p.test})" for p in proofs() if not any(p.covers(f) for f in acting)]
    assert idle == []


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.docs.api_reference"
