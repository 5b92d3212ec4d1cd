"""How a clock is learned: the objective and its bound, closed form, dynamic programming, actor-critic, distilling."""
