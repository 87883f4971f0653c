"""The questions, one per file. A new file here is a new question."""
