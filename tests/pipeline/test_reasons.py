from mofore.pipeline.reasons import ConfigChanged


def test_what_was_not_recorded_was_at_its_default() -> None:
    changed = ConfigChanged("fit", (("objective", None, "cpc"), ("steps", 5, 6)))
    assert str(changed) == "config changed: fit.objective default -> 'cpc', fit.steps 5 -> 6"
