"""Run every benchmark, the quickest first."""

from . import dynamic_programming, endpoint, gap, order, speed

for benchmark in (order, dynamic_programming, gap, endpoint, speed):
    benchmark.run()
