"""The catalogue of mistakes: one frozen dataclass each, by the phase that finds it."""
