"""The networks of EDM, written from the papers, and how the weights of a snapshot get into them."""
