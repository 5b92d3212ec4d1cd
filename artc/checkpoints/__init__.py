"""Where an unfinished compilation is kept, so that a killed one goes on from what it had done."""
