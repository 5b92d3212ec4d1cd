"""Run every benchmark but the studies, the quickest first."""

from . import adapters, domains, dynamic_programming, edm_files, endpoint, gap, order, speed

for benchmark in (adapters, order, dynamic_programming, gap, domains, edm_files, endpoint, speed):
    benchmark.run()
