"""A store to a model that forecasts."""
