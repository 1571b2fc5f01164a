"""Extreme shards, of a process group and of DTensors: whole calls have the same answers, and what cannot be is refused by all."""

import json

import pytest
from conftest import PRESENT, on_linux

pytestmark = [
    pytest.mark.skipif("torch" not in PRESENT, reason="torch is not installed"),
    on_linux,
]
SENTENCES = (
    "what is no number stays in its row",
    "a masked score enters nothing, whatever it is",
    "large scores are no trouble",
    "half types are computed in float32",
    "integer scores are scores",
    "of equal scores in several shards the first is taken",
    "rows may have one entry in a shard",
    "more winners than a shard has entries are found",
    "a batch may be empty",
    "any axis may be cut, of views too",
    "a temperature may be extreme, an array, and learned",
    "an order may be an array, and learned",
    "positions of each shard are learned",
    "a target may be in the shard of another, out of range, or ignored",
    "members that cannot work together all say so",
    "candidates that overflow in one member are searched for in steps",
    "what is not recorded is the same",
    "weights are sharpened, and read, as whole ones",
    "a DTensor has the answers of a whole tensor in any placement",
    "what goes with a DTensor may be placed in any way, or be a plain tensor",
    "maps are split along any of their axes",
    "sums that are pending are added up, and a DTensor with a group is refused",
)
SECONDS = 150


@pytest.fixture(scope="module")
def records(run_once):
    folder = run_once("shards_extremes_on_torch", SECONDS, OMP_NUM_THREADS="1")
    return [record for member in range(4) for record in json.loads((folder / f"{member}.json").read_text("utf-8"))]


@pytest.mark.parametrize("sentence", SENTENCES, ids=[s.replace(" ", "_") for s in SENTENCES])
def test_in_shards(sentence, records):
    found = [record for record in records if record["case"] == sentence]
    assert len({record["label"] for record in found}) >= 2
    far = [record for record in found if not record["error"] <= record["allowed"]]
    assert not far, f"{len(far)} of {len(found)} are not what a whole call has, such as {far[:3]}"


def test_every_sentence_is_looked_at(records):
    assert {record["case"] for record in records} == set(SENTENCES)
