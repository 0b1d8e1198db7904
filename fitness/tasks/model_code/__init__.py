"""Code that models write, run where it can do no harm: metrics of tasks such as HumanEval and MBPP, in bubblewrap."""

from fitness.tasks.model_code.sandbox import Limits, SandboxedFunction, require_sandbox

__all__ = ["Limits", "SandboxedFunction", "require_sandbox"]
