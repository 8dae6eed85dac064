"""The catalogue of mistakes: one class each, by the phase that finds it."""
