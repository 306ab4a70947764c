"""Calibration of P(reasoning): does 0.7 mean seven in ten? Temperature scaling and the usual two errors."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit

# Guo et al., "On Calibration of Modern Neural Networks", 2017: fifteen equal-width bins, one temperature.
ECE_BINS = 15
# What follows differs from machine to machine: the order in which a library adds up. Strata must not.
DECIMALS = 6
_LOG_TEMPERATURE = (-3.0, 3.0)  # 0.05 to 20: beyond it the log-odds are constants or signs


def fit_temperature(labels: np.ndarray, log_odds: np.ndarray) -> float:
    """The T > 0 for which sigmoid(log_odds / T) has the least log loss on these labels (0, 1), shape (n,).

    Order, and so AUROC, is left alone. One label only, or log-odds that say nothing, give an end of the range.
    """
    signed = np.where(labels == 1, log_odds, -log_odds)
    found = minimize_scalar(lambda t: -log_expit(signed * np.exp(-t)).mean(), bounds=_LOG_TEMPERATURE, method="bounded")
    return float(np.exp(found.x))


def probabilities(log_odds: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """P(label 1) in [0, 1] from log-odds, any shape, to DECIMALS places."""
    return np.asarray(np.round(expit(np.asarray(log_odds, dtype=float) / temperature), DECIMALS))


def brier(labels: np.ndarray, prob: np.ndarray) -> float:
    """Mean squared difference of probability and label: 0 is perfect, always saying p scores p(1 − p) at share p."""
    return float(np.mean((prob - labels) ** 2))


def expected_calibration_error(labels: np.ndarray, prob: np.ndarray, bins: int = ECE_BINS) -> float:
    """Mean absolute gap between mean probability and share of label 1 over equal-width bins, weighted by their rows."""
    number = np.minimum((prob * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(number, weights=prob - labels, minlength=bins)).sum() / len(labels))
