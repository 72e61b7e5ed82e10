"""`evaluate.only`: a part of the test side asks, the gallery stays."""

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

import mofore as api

Command = Callable[..., Result]


def test_a_part_of_the_test_side_asks(mofore: Command, work: Path) -> None:
    whole = api.open(work).metrics
    test = sorted(api.open(work).snapshot.split.test)
    parts = work / "parts.json"
    parts.write_text(json.dumps({"debiased": test[::2], "elsewhere": ["v_Nobody_g01_c01"]}))
    table = ("--set", f'data.table=["{parts}"]')
    made = mofore("evaluate", "-w", work, *table, "--set", "evaluate.only=debiased")
    assert made.exit_code == 0, made.stderr
    found = api.open(work).metrics
    split = whole.protocol.split
    assert found.protocol.split == f"{split}, debiased"
    assert (found.protocol.queries, found.protocol.gallery) == (len(test[::2]), whole.protocol.gallery)
    assert set(found.protocols.splits) == {*whole.protocols.splits, f"{split}, debiased"}
    assert found.protocols.splits[split] == whole.protocols.splits[split], "the whole side stands beside it"
    again = mofore("status", "-w", work, *table, "--set", "evaluate.only=debiased", "--json")
    assert json.loads(again.stdout)["stages"]["fit"]["action"] == "skip", "nothing is fitted anew"
    for name in ("biased", "elsewhere"):
        refused = mofore("evaluate", "-w", work, *table, "--set", f"evaluate.only={name}")
        assert refused.exit_code == 2
        told = " ".join(refused.stderr.split())
        assert f"evaluate.only = '{name}': no test video of the split '{split}' is of such a part" in told
        assert f"debiased ({len(test[::2])}), elsewhere (0)" in told


def test_a_pair_of_classes_that_are_not_there_is_refused_before_anything_runs(mofore: Command, work: Path) -> None:
    pairs = ("--set", 'evaluate.chiral_pairs=["Orbit <> Nothing"]')
    refused = mofore("run", "-w", work, *pairs, "--set", "fit.seed=5")
    assert refused.exit_code == 2
    assert 'no video is of the class "Nothing"' in " ".join(refused.stderr.split())
    assert len(list(work.glob("fit/*/model.safetensors"))) == 1
