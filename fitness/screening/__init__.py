"""The label-free screen: agreement with the experts, before any right answer is looked at."""

from fitness.screening.experts import Experts, Prompt
from fitness.screening.screening import Screening

__all__ = ["Experts", "Prompt", "Screening"]
