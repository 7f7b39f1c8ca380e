# The client of python functions.
