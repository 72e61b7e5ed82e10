import json
import sys
from pathlib import Path

import pytest

from mofore.benchmarks import gpu_trial
from mofore.benchmarks.gpu_steps import STEPS, run_step


def test_the_trial_takes_eight_minutes_and_every_step_has_a_budget() -> None:
    assert sum(gpu_trial.BUDGETS_S.values()) <= 480
    assert set(gpu_trial.BUDGETS_S) == set(STEPS)


def test_the_steps_run_small_on_a_pretended_gpu(tmp_path: Path) -> None:
    for name in ("clips", "parity", "search", "forward"):
        run_step(name, tmp_path, pretend=True)
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("parity", "search")}
    assert found["parity"]["by at most"] <= 1
    assert found["parity"]["least centred cosine, GPU fp32 and processor fp32"] > 0.999
    assert found["search"]["the ten nearest are those of float64"]


@pytest.mark.parametrize(
    ("program", "state"),
    [
        ("print('well')", "done"),
        ("raise SystemExit('the card is on fire')", "failed"),
        ("import a_package_that_is_not_there", "skipped"),
        ("import time; time.sleep(60)", "over its budget"),
    ],
)
def test_a_step_costs_its_own_figures_alone(
    program: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(gpu_trial, "BUDGETS_S", {"decode": 2, "parity": 2})
    code = gpu_trial.main([str(tmp_path / "trial"), "--only", "decode", "--only", "parity"])
    found = json.loads((tmp_path / "trial" / "trial.json").read_text())
    assert {of["state"] for of in found.values()} == {state}
    assert code == (state not in ("done", "skipped"))
    assert f"| decode | {state} |" in (tmp_path / "trial" / "trial.md").read_text() or state == "done"
