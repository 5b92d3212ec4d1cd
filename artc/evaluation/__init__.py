"""How good a schedule is: endpoint error, Frechet distance, comparisons at equal NFE, plots."""
