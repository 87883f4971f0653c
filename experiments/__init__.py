"""The paper's claims as runs: one file per question; `run` and `report` serve all."""
