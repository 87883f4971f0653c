"""The claims of the paper as runs: one file a question, `run` and `report` for all."""
