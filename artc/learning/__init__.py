"""How a clock is learned: the objective and its bound, the closed form, dynamic programming, actor-critic, distilling."""
