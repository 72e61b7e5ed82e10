"""Named sets of values of a fit."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "default": {
        "batch_size": 256,
        "passes": 60,
        "lr": 3e-4,
        "lr_schedule": "cosine",
        "momentum": 0.99,
        "projection": "residual",
        "embedding_width": 0,
        "predictor_skip": True,
        "hidden_width": 512,
        "activation": "gelu",
        "aggregator": "mean_sd",
        "input_map": "neighbour_lda",
        "input_dropout": 0.3,
        "video_pooling": "whole",
        "contrast_weight": 10.0,
        "temperature": 0.2,
        "neighbours": 40,
    },
    "plain": {
        "batch_size": 256,
        "steps": 600,
        "lr": 1e-3,
        "lr_schedule": "cosine",
        "momentum": 0.99,
        "projection": "residual",
        "embedding_width": 0,
        "predictor_skip": True,
        "hidden_width": 64,
        "contrast_weight": 0.3,
        "temperature": 0.2,
        "neighbours": 40,
    },
    "forecast": {
        "batch_size": 64,
        "steps": 400,
        "lr": 1e-2,
        "lr_schedule": "cosine",
        "projection": "none",
        "embedding_width": 0,
        "predictor": "history",
        "forecast_normalize": False,
        "contrast_weight": 0.0,
    },
    "motion": {
        "batch_size": 64,
        "steps": 600,
        "lr": 3e-4,
        "momentum": 0.99,
        "inputs": "centered",
        "aggregator": "gru",
        "negatives": "lookalike",
        "hidden_width": 256,
        "embedding_width": 256,
    },
}
"""What each ``fit.preset`` sets; the field defaults are the paper's, so `paper` sets nothing.

`default` is what retrieved best on real features, `forecast` what forecast them best (its embedding is the raw
features'); docs/findings.md has the tables.
"""
