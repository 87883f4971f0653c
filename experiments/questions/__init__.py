"""The questions, one per file: adding a file here adds a question.

A file has a docstring that starts with "Question: ", the section of the paper
(`PAPER_SECTION`), the authors' figures (`TARGETS`) and `variants`, whose first entry is
the baseline.
"""
