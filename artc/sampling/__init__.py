"""How an ODE is walked: baseline grids, solvers, trajectories, the trajectory bank and stiffness."""
