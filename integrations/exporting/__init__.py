"""The numbers of a schedule as text, for whoever runs a sampler that artc has no adapter in.

    from artc.integrations.exporting import export
    print(export("mine.art.json", "comfyui", nfe=9, solver="heun").text)

Every host takes another list. Some want the trailing 0 and some append it; one applies its own shift to what it is
given, some round to whole timesteps, one reads 1e-4 as 1 and -4. A list that is wrong in any of these ways runs to the
end and makes a worse picture, so an `Export` says what it printed, how many numbers and why, and where they are pasted.

Each target is a function from a `Grid` to what is pasted and what its user should know. No host, no torch, no NumPy.
"""

from .export import TARGETS, export
from .parts import Export, Grid, Part
from .tables import TABLES, Table, find_table

__all__ = ["TABLES", "TARGETS", "Export", "Grid", "Part", "Table", "export", "find_table"]
