"""`python -m tests.bench.controller`: how fast jobs become pods and end, beside batch/v1 Jobs and bare pods."""
