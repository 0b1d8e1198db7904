"""What parents read for their statistics: prompts, who reads which, what they write after them, and the pass itself.

Right answers are not looked at: a parent continues a prompt greedily, and reads on along its own words.
"""

from fitness.reading.owners import find_owners
from fitness.reading.passages import Passage, write_passages
from fitness.reading.questions import Questions, questions_of_file, questions_of_tasks
from fitness.reading.reader import PassageReader

__all__ = [
    "Passage",
    "PassageReader",
    "Questions",
    "find_owners",
    "questions_of_file",
    "questions_of_tasks",
    "write_passages",
]
