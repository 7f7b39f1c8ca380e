// The client of node functions.
