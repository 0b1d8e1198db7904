"""Held-out verification: is a winner real?"""

from evomerge.results.verification.result import Verification, VerificationError
from evomerge.results.verification.verifier import Verifier

__all__ = ["Verification", "VerificationError", "Verifier"]
