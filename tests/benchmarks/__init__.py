"""The figures that the project states, each made by one command and stored as JSON in `results/`.

python -m tests.benchmarks            # all of them, minutes on two cores
python -m tests.benchmarks.endpoint   # one of them
"""
